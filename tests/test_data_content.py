"""What an image is decides where it goes: whatever size it is trained at, wherever it lies, whatever lies beside it."""

import json
import shutil
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

import thirtytwo
from thirtytwo import recipes
from thirtytwo.data import given
from thirtytwo.data.imageset import ImageSet, Official
from thirtytwo.data.load import load
from thirtytwo.data.picture import BadPicture, content, decode
from thirtytwo.data.split import make_splits
from thirtytwo.errors import UserError
from thirtytwo.files import sha256
from thirtytwo.recipe import parse_assignments
from thirtytwo.runs.lineage import seen_before
from thirtytwo.runs.loading import images_of
from thirtytwo.runs.run import Run
from thirtytwo.training.session import Session

DIGITS = load_digits()
PIXELS = np.rint(DIGITS.images * 255 / 16).astype(np.uint8)
SPLITS = ("train", "val", "test")
SMALL = ("model=cnn2(width=2)", "train.epochs=1")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THIRTYTWO_CACHE", str(tmp_path / "cache"))


def train(out: Path, *words: str) -> Run:
    recipe = recipes.find("digits-cnn").override(parse_assignments([*SMALL, *words]))
    session = Session.new(recipe, out=out, device="cpu")
    session.complete()
    return session.run


def tree(root: Path, numbers: range) -> Path:
    for i in numbers:
        path = root / f"class{DIGITS.target[i] % 3}" / f"{i:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PIXELS[i]).save(path)
    return root


def photographs(root: Path) -> Path:
    """Pieces of one photograph, of several sizes above 64 pixels, as JPEG."""
    photo = load_sample_image("china.jpg")
    for i in range(60):
        path = root / ("sky", "roof")[i % 2] / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo[i * 3 : i * 3 + 100 + i, i * 5 : i * 5 + 90]).save(path)
    return root


def names(root: Path, **settings) -> dict[str, list[str]]:
    splits = make_splits(load(str(root), **settings))
    return {split: [Path(path).name for path in getattr(splits, split).paths] for split in SPLITS}


@pytest.mark.parametrize("make", [lambda root: tree(root, range(200)), photographs])
def test_the_cut_and_the_order_are_the_same_at_every_size_in_grey_and_in_colour(make, tmp_path):
    root = make(tmp_path / "set")
    first = names(root)
    for settings in ({"size": 8}, {"size": 40}, {"size": 40, "channels": 3, "fit": "crop"}, {"channels": 1}):
        assert names(root, **settings) == first


def test_arrays_and_datasets_too(tmp_path):
    labels = DIGITS.target[:300]
    arrays = ImageSet.of(torch.from_numpy(PIXELS[:300, None]), torch.from_numpy(labels), tuple("0123456789"))
    own = make_splits(Official("x", arrays)).record["ids"]
    pairs = [(Image.fromarray(PIXELS[i]), int(labels[i])) for i in range(300)]
    for data in ((PIXELS[:300], labels), torch.utils.data.Subset(pairs, range(300))):
        assert make_splits(given.read(data, "data", 16, 3, "pad")).record["ids"] == own


def test_two_runs_at_two_sizes_are_compared(tmp_path):
    root = tree(tmp_path / "set", range(150))
    runs = [train(tmp_path, f"data.source={root}", f"data.size={size}") for size in (8, 12)]
    assert len(thirtytwo.compare({"8": runs[0].path, "12": runs[1].path}, split="test")) == 2


def test_a_run_of_the_version_before_keeps_its_cut(tmp_path):
    """Its recipe has no split_version; the cut went by the pixels after resizing."""
    root = tree(tmp_path / "set", range(200))
    old = make_splits(load(str(root), size=12), version=1).record
    new = make_splits(load(str(root), size=12)).record
    assert old["ids"] != new["ids"]
    assert make_splits(load(str(root)), version=1).record["ids"] == make_splits(load(str(root))).record["ids"]
    run = train(tmp_path, f"data.source={root}", "data.size=12", "data.split_version=1")
    assert run.split["ids"] == old["ids"]
    recipe = run.path / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("split_version = 1\n", ""))
    status = json.loads((run.path / "status.json").read_text())
    (run.path / "status.json").write_text(json.dumps({**status, "recipe_sha256": sha256(recipe.read_bytes())}))
    split = json.loads((run.path / "split.json").read_text())
    del split["content"], split["version"]
    (run.path / "split.json").write_text(json.dumps(split))
    assert thirtytwo.open_run(run.path, device="cpu").test()
    again = train(tmp_path, f"data.source={root}", "data.size=12", f"data.keep_split={run.path}")
    assert all(sorted(again.split["ids"][split]) == sorted(old["ids"][split]) for split in SPLITS)


def test_runs_are_compared_by_what_their_images_are_not_by_where_they_lie(tmp_path):
    root = tree(tmp_path / "set", range(200))
    first = train(tmp_path, f"data.source={root}")
    for i, file in enumerate(sorted(root.rglob("*.png"))):  # other names, so that they lie in another order
        file.rename(file.with_name(f"{i * 7919 % 10_007:05}-{file.name}"))
    second = train(tmp_path, f"data.source={root}", "model=cnn2(width=3)")
    for split in ("val", "test"):
        a, b = (run.predictions(split)[0] for run in (first, second))
        assert np.array_equal(a.labels, b.labels) and not np.array_equal(a.ids, b.ids)
        found = thirtytwo.compare({"a": first.path, "b": second.path}, split=split)[1].difference
        assert found.value.value == pytest.approx(b.correct.mean() - a.correct.mean())


def test_other_classes_are_named_where_runs_cannot_be_compared(tmp_path):
    first = train(tmp_path, f"data.source={tree(tmp_path / 'set', range(150))}")
    shutil.copytree(tmp_path / "set" / "class0", tmp_path / "set" / "owl")
    second = train(tmp_path, f"data.source={tmp_path / 'set'}", f"data.keep_split={first.path}")
    with pytest.raises(UserError, match="have other classes, 'owl' is in one of them alone"):
        thirtytwo.compare({"a": first.path, "b": second.path})


def test_a_broken_picture_that_a_run_never_had_does_not_stop_it(tmp_path):
    root = tree(tmp_path / "set", range(150))
    run = train(tmp_path, f"data.source={root}")
    (root / "class0" / "zz.png").write_bytes(b"<html>404</html>")
    opened = thirtytwo.open_run(run.path, device="cpu")
    assert opened.test() and opened.predict(f"val:{run.predictions('val')[0].ids[0]}")
    own = root / run.predictions("test")[0].paths[0]
    own.write_bytes(own.read_bytes()[:60])
    with pytest.raises(UserError, match=rf"the test images .* are not those .*\({root}.*: .*\): restore them"):
        opened.test()


def test_a_folder_that_grew_keeps_the_split_of_its_pictures(tmp_path, caplog):
    root = tree(tmp_path / "set", range(200))
    run = train(tmp_path, f"data.source={root}")
    trained = _digests(run.split["content"]["train"])
    (root / "class0" / "0000.png").rename(root / "class0" / "0999.png")  # no position stays
    tree(root, range(200, 260))
    words = (f"data.source={root}", f"model=run:{run.path}")
    leaking = train(tmp_path, *words)
    seen = leaking.env["seen_before"]
    assert seen and "set data.keep_split to that run" in caplog.text
    content = leaking.split["content"]
    assert seen == {split: len(_digests(content[split]) & trained) for split in ("val", "test")}
    caplog.clear()
    kept = train(tmp_path, *words, f"data.keep_split={run.path}")
    assert "seen_before" not in kept.env and "trained on" not in caplog.text
    content = {split: _digests(kept.split["content"][split]) for split in SPLITS}
    for split in SPLITS:
        assert _digests(run.split["content"][split]) <= content[split]
    sizes = kept.split["sizes"]
    assert sizes["test"] - run.split["sizes"]["test"] == 12 and sum(sizes.values()) == 260
    assert (
        "200 images stayed in the split that an earlier run had them in, 60 new ones cut in addition"
        in kept.split["notes"]
    )
    count = run.split["sizes"]["test"]
    rows = thirtytwo.compare({"before": run, "after": kept}, split="test")
    assert (
        f"compared on the {count} images of test that all runs were scored on (of {count} to {count + 12})"
        in caplog.text
    )
    plain = run.predictions("test")[0]
    assert rows[0].mean.value == plain.correct.mean() and rows[1].difference.test == "McNemar"
    both = thirtytwo.compare({"before": [run], "after": [kept], "again": run}, split="test")
    assert both[2].difference.value.value == 0
    shutil.rmtree(run.path)  # it is remembered
    assert thirtytwo.open_run(kept.path, device="cpu").test()


def jpegs(picture: Image.Image) -> dict[str, bytes]:
    """The same compressed pixels in files that say other things about them."""
    found = {}
    rated, turned = Image.Exif(), Image.Exif()
    rated[0x4746], turned[0x0112] = 5, 6
    for name, more in (("plain", {}), ("comment", {"comment": b"nice"}), ("rated", {"exif": rated}),
                       ("icc", {"icc_profile": b"profile" * 9}), ("turned", {"exif": turned})):  # fmt: skip
        buffer = BytesIO()
        picture.save(buffer, "JPEG", quality=90, **more)
        found[name] = buffer.getvalue()
    return found


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_is_what_its_pixels_are_whatever_its_file_says_about_them(mode):
    files = jpegs(Image.fromarray(load_sample_image("china.jpg")[:200, :300]).convert(mode))
    same = {content(files[name]) for name in ("plain", "comment", "rated", "icc")}
    assert len(same) == 1 and content(files["turned"]) not in same
    assert len({decode(files[name]).tobytes() for name in ("plain", "comment", "rated", "icc")}) == 1
    other = BytesIO()
    Image.open(BytesIO(files["plain"])).save(other, "JPEG", quality=80)
    assert content(other.getvalue()) not in same


def test_what_decides_the_colours_or_the_way_up_of_a_jpeg_belongs_to_its_content():
    buffer = BytesIO()
    Image.fromarray(load_sample_image("china.jpg")[:200, :300]).save(buffer, "JPEG", keep_rgb=True)
    rgb = buffer.getvalue()
    assert b"JFIF" not in rgb[:40]
    jfif = rgb[:2] + b"\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0" + rgb[2:]
    assert np.abs(decode(rgb).astype(int) - decode(jfif)).max() > 100 and content(rgb) != content(jfif)
    found = {}
    for orientation in (None, 0, 1, 3, 9, 259):
        exif, buffer = Image.Exif(), BytesIO()
        if orientation is not None:
            exif[0x0112] = orientation
        Image.fromarray(load_sample_image("china.jpg")[:200, :300]).save(buffer, "JPEG", exif=exif)
        found[orientation] = content(buffer.getvalue())
    upright = {found[each] for each in (None, 0, 1, 9, 259)}
    assert len(upright) == 1 and found[3] not in upright


@pytest.mark.parametrize("cut", [2, 3, 20, 100, 700])
def test_a_jpeg_that_is_cut_off_has_a_content_or_is_a_bad_picture(cut):
    whole = jpegs(Image.fromarray(load_sample_image("china.jpg")[:200, :300]))["comment"]
    with suppress(BadPicture):
        content(whole[:cut])
    with suppress(BadPicture):
        content(whole[:cut] + b"\xff" * 9)


def test_a_large_picture_without_loss_is_what_its_pixels_are(tmp_path):
    photo = Image.fromarray(load_sample_image("flower.jpg")[:100, :150])
    found = set()
    for name, more in (
        ("a.png", {"compress_level": 1}),
        ("b.png", {"compress_level": 9}),
        ("c.bmp", {}),
        ("d.tiff", {}),
    ):
        photo.save(tmp_path / name, **more)
        found.add(content(tmp_path / name))
    assert found == {b"(3, 100, 150)" + np.asarray(photo).transpose(2, 0, 1).tobytes()}
    white = [Image.new("RGB", size, "white") for size in ((200, 100), (100, 200))]
    for name, picture in zip(("a.png", "b.png"), white, strict=True):
        picture.save(tmp_path / name)
    assert content(tmp_path / "a.png") != content(tmp_path / "b.png")


def test_copies_that_a_program_rated_are_known_as_the_same_pictures(tmp_path):
    for i in range(60):
        photo = Image.fromarray(load_sample_image("china.jpg")[i * 3 : i * 3 + 100, i * 5 : i * 5 + 90])
        files = jpegs(photo)
        for where, name in (("leak/train", "plain"), ("leak/test", "rated"), ("twice", "plain"), ("twice", "comment")):
            path = tmp_path / where / ("sky", "roof")[i % 2] / f"{i} {name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[name])
    record = make_splits(load(str(tmp_path / "leak"))).record
    inside = {name: _digests(record["content"][name]) for name in SPLITS}
    assert inside["test"] == inside["train"] | inside["val"]
    assert any(f"{len(inside['train'])} of the 60 test images are in train too" in note for note in record["notes"])
    inside = {name: _digests(make_splits(load(str(tmp_path / "twice"))).record["content"][name]) for name in SPLITS}
    # An odd number of a class's images cuts one pair: one of each of two classes, for test and for val.
    assert 60 <= sum(map(len, inside.values())) <= 64 and len(set.union(*inside.values())) == 60


def test_a_run_of_version_2_finds_its_photographs_and_no_other_version_keeps_its_split(tmp_path):
    root = photographs(tmp_path / "set")
    old = train(tmp_path, f"data.source={root}", "data.size=12", "data.split_version=2")
    new = train(tmp_path, f"data.source={root}", "data.size=12")
    assert old.split["version"] == 2 and new.split["version"] == 3
    assert not _digests(old.split["content"]["train"]) & _digests(new.split["content"]["train"])
    for i in range(3):
        Image.fromarray(load_sample_image("flower.jpg")[i : i + 100, :90]).save(root / "sky" / f"new {i}.jpg")
    assert thirtytwo.open_run(old.path, device="cpu").test() and thirtytwo.open_run(new.path, device="cpu").test()
    words = (f"data.source={root}", "data.size=12", f"data.keep_split={old.path}")
    with pytest.raises(UserError, match=r"none of that run's images is here.* set data.split_version"):
        train(tmp_path, *words)
    kept = train(tmp_path, *words, "data.split_version=2")
    assert all(_digests(old.split["content"][s]) <= _digests(kept.split["content"][s]) for s in SPLITS)
    seen = train(tmp_path, f"data.source={root}", "data.size=12", f"train.teacher=run:{old.path}")
    assert "seen_before" in seen.env  # by places, since the contents of two versions cannot be compared


def test_pictures_that_are_in_two_classes_are_found_again(tmp_path):
    root = tree(tmp_path / "set", range(150))
    for name in ("class1", "class2"):
        for path in sorted((root / "class0").glob("*.png"))[:8]:
            shutil.copy(path, root / name / f"copy {path.name}")
    run = train(tmp_path, f"data.source={root}")
    tree(root, range(150, 200))
    for path in sorted((root / "class1").glob("0*.png"))[-3:]:
        shutil.copy(path, root / "class0" / f"0 copy {path.name}")  # before those that are the run's
    assert thirtytwo.open_run(run.path, device="cpu").test()
    assert [images_of(run, split).ids.tolist() for split in SPLITS] == [run.split["ids"][split] for split in SPLITS]


@pytest.mark.parametrize("other", [Image.new("L", (50, 50), 9), Image.new("RGB", (8, 8), "red")], ids=["large", "red"])
def test_a_new_picture_of_another_kind_changes_nothing_for_earlier_runs(tmp_path, other):
    root = tree(tmp_path / "set", range(150))
    run = train(tmp_path, f"data.source={root}")
    other.save(root / "class1" / "other.png")
    assert thirtytwo.open_run(run.path, device="cpu").test()


def test_a_split_that_is_not_asked_for_may_be_gone(tmp_path):
    tree(tmp_path / "set" / "train", range(150))
    tree(tmp_path / "set" / "test", range(150, 200))
    run = train(tmp_path, f"data.source={tmp_path / 'set'}")
    shutil.rmtree(tmp_path / "set" / "test")
    assert len(images_of(run, "val")) == run.split["sizes"]["val"]
    with pytest.raises(UserError, match=r"the test images of .* are not those"):
        images_of(run, "test")


def test_copies_count_as_often_as_both_runs_have_them_and_none_in_common_is_refused(tmp_path, caplog):
    root = tree(tmp_path / "set", range(150))
    tests = tmp_path / "tests"
    tree(tests, range(300, 330))
    for path in [*tests.glob("*/*.png")]:
        shutil.copy(path, path.with_name(f"copy {path.name}"))
    splits = {"a": tests, "b": tmp_path / "more"}
    shutil.copytree(tests, splits["b"])
    tree(splits["b"], range(330, 334))
    runs = {}
    for name, folder in splits.items():
        shutil.copytree(root, tmp_path / name / "train")
        shutil.copytree(folder, tmp_path / name / "test")
        runs[name] = train(tmp_path, f"data.source={tmp_path / name}")
    rows = thirtytwo.compare(runs, split="test")
    assert "compared on the 60 images of test that all runs were scored on (of 60 to 64)" in caplog.text
    assert rows[0].mean.value == runs["a"].predictions("test")[0].correct.mean()
    shutil.copytree(root, tmp_path / "c" / "train")
    tree(tmp_path / "c" / "test", range(400, 460))
    runs["c"] = train(tmp_path, f"data.source={tmp_path / 'c'}")
    with pytest.raises(UserError, match="no image of test was scored by all"):
        thirtytwo.compare(runs, split="test")


def _digests(content: str) -> set[str]:
    return {content[i : i + 16] for i in range(0, len(content), 16)}


def test_another_folder_with_the_same_pictures_hides_nothing(tmp_path):
    one, other = tree(tmp_path / "one", range(120)), tree(tmp_path / "other", range(60, 180))
    run = train(tmp_path, f"data.source={one}")
    record = make_splits(load(str(other), size=20)).record
    trained = _digests(run.split["content"]["train"])
    counted = {split: len(_digests(record["content"][split]) & trained) for split in ("val", "test")}
    assert seen_before([Run.open(run.path)], record) == {key: value for key, value in counted.items() if value}


def test_what_is_in_two_splits_or_two_classes_is_said_before_training(tmp_path, cli):
    root = tree(tmp_path / "set" / "train", range(100)).parent
    tree(root / "test", range(90, 130))
    again = root / "train" / "class0"
    shutil.copy(next((root / "train" / "class1").iterdir()), again / "copy.png")
    done = cli("train", f"data.source={root}", "epochs=1", "model=cnn2(width=2)", "--out", tmp_path / "runs")
    assert done.code == 0, done.err
    assert "8 of the 40 test images are in train too, so test's scores are too good" in done.out
    assert "1 picture is in more than one class" in done.out
    assert done.out.index("too good") < done.out.index("epoch 1")
    page = next((tmp_path / "runs").glob("*/report.html")).read_text(encoding="utf-8")
    assert "8 of the 40 test images are in train too" in page and "in more than one class" in page


def test_a_run_whose_split_cannot_be_kept_is_one_line(tmp_path, cli, run_copy):
    (run_copy / "split.json").unlink()
    for run in (tmp_path / "nowhere", run_copy):
        done = cli("train", f"data.keep_split={run}", "--out", tmp_path / "runs")
        assert done.code == 2 and done.err.count("\n") == 1 and f"data.keep_split={run}: " in done.err
    with pytest.raises(UserError, match="not a run folder"):
        train(tmp_path, f"data.keep_split={tmp_path}")
