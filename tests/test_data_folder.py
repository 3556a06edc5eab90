"""Class folders, bad pictures, the decoded cache and the scan, on trees written from scikit-learn's digits."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

from thirtytwo.data import decoded
from thirtytwo.data.cache import cache_size
from thirtytwo.data.imageset import Official
from thirtytwo.data.load import load
from thirtytwo.data.scan import scan
from thirtytwo.data.split import make_splits
from thirtytwo.errors import UserError
from thirtytwo.paths import natural

DIGITS = load_digits()
PIXELS = np.rint(DIGITS.images * 255 / 16).astype(np.uint8)
PHOTO = load_sample_image("flower.jpg")[200:300, 250:380]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THIRTYTWO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """24 digits as pictures/<class>/<number>.png."""
    root = tmp_path / "pictures"
    for i in range(24):
        save(root / f"class{DIGITS.target[i]}" / f"{i:02d}.png", PIXELS[i])
    return root


def save(path: Path, pixels: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def one_line(root: Path | str, **settings: object) -> str:
    with pytest.raises(UserError) as error:
        load(str(root), **settings)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    return str(error.value)


def same(one: Official, other: Official) -> bool:
    return torch.equal(one.train.images, other.train.images) and torch.equal(one.train.labels, other.train.labels)


def test_class_folders_become_what_was_saved(tree: Path) -> None:
    official = load(str(tree))
    assert official.name == "pictures" and official.notes == () and official.test is None
    assert official.train.classes == tuple(f"class{k}" for k in range(10))
    assert official.train.paths is not None
    for image, label, path in zip(official.train.images, official.train.labels, official.train.paths, strict=True):
        assert np.array_equal(image[0].numpy(), PIXELS[int(Path(path).stem)])
        assert Path(path).parent.name == official.train.classes[label]


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "validation", "testing"), ("train", "valid", "test")]
)
def test_split_folders(tmp_path: Path, names: tuple[str, str, str]) -> None:
    for i in range(60):
        save(tmp_path / "x" / names[i % 3] / str(DIGITS.target[i]) / f"{i}.png", PIXELS[i])
    official = load(str(tmp_path / "x"))
    assert official.val is not None and official.test is not None
    assert [len(official.train), len(official.val), len(official.test)] == [20, 20, 20]
    assert make_splits(official).record["sizes"] == {"train": 20, "val": 20, "test": 20}


def test_train_and_test_may_also_be_classes_below_train(tmp_path: Path) -> None:
    for name in ("train", "test", "bus"):
        save(tmp_path / "vehicles" / "train" / name / "1.png", PIXELS[0])
    assert load(str(tmp_path / "vehicles")).train.classes == ("bus", "test", "train")


def test_a_test_folder_alone_is_one_line(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "set" / "test" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "set" / "test" / name / "1.png")
    with pytest.raises(UserError, match="holds test, but no train folder"):
        load(str(tmp_path / "set"))


def test_classes_are_in_natural_order(tmp_path: Path) -> None:
    for name in ("10", "9", "1", "01"):
        save(tmp_path / "x" / name / "a.png", PIXELS[0])
    assert load(str(tmp_path / "x")).train.classes == ("01", "1", "9", "10")
    assert sorted(["b", "a10", "a9", "", "10", "a"], key=natural) == ["", "10", "a", "a9", "a10", "b"]


def test_the_size_rule_and_its_notes(tree: Path) -> None:
    save(tree / "class1" / "photo.jpg", PHOTO)
    official = load(str(tree))
    assert official.train.images.shape == (25, 3, 32, 32)
    assert official.notes == ("25 pictures resized to 32x32 (pad)", "24 pictures converted from grey to RGB")
    grey = load(str(tree), size=16, channels=1, fit="crop")
    assert grey.train.images.shape == (25, 1, 16, 16)
    assert grey.notes == ("25 pictures resized to 16x16 (crop)", "1 picture converted from colour to grey")


def test_what_is_done_to_odd_pictures_is_noted(tree: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tree / "class0" / "side.png", PIXELS[0], exif=exif)
    save(tree / "class0" / "deep.png", PIXELS[0].astype(np.uint16) * 257)
    frames = [Image.fromarray(PIXELS[i]) for i in range(3)]
    frames[0].save(tree / "class0" / "film.gif", save_all=True, append_images=frames[1:])
    Image.merge("LA", [frames[0], frames[1]]).save(tree / "class0" / "clear.png")
    assert load(str(tree)).notes == (
        "1 picture turned upright according to EXIF", "1 picture with transparency, put on a white background",
        "1 picture scaled from more than 8 bits per pixel", "1 picture with several frames, of which the first is used",
    )  # fmt: skip


def test_hidden_and_other_files_and_link_loops_are_left_out_and_counted(tree: Path) -> None:
    (tree / "notes.txt").write_text("x")
    (tree / "class0" / ".hidden.png").write_bytes(b"x")
    (tree / ".git").mkdir()
    (tree / "class0" / "Thumbs.db").write_bytes(b"x")
    (tree / "class0" / "loop").symlink_to(tree)
    (tree / "class1" / "self").symlink_to(tree / "class1")
    save(tree / "class2" / "deeper" / "still" / "x.PNG", PIXELS[2])
    official = load(str(tree))
    assert len(official.train) == 25
    assert official.notes == (
        "pictures in folders within a class folder count as that class: class2 (deeper)",
        "ignored files that are no pictures: 1 .txt", "ignored 2 hidden or system files",
        "ignored 1 hidden or system folder: .git", "ignored 2 folder links to a folder that has been read already",
    )  # fmt: skip


def test_folders_that_are_no_class_folders(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    root.mkdir()
    assert one_line(root).startswith(f"{root} holds nothing. Expected class folders (<folder>/<class>/<picture>")
    save(root / "a.png", PIXELS[0])
    assert one_line(root).startswith(f"{root} holds 1 picture, but no class folder. Expected")
    (root / "a.png").unlink()
    save(root / "cats" / "a.png", PIXELS[0])
    assert one_line(root) == (
        f"{root} holds 1 class folder ('cats'): a classifier needs two or more. Expected pictures/<class>/<picture>"
    )
    save(root / "train" / "cats" / "a.png", PIXELS[0])
    save(root / "train" / "dogs" / "a.png", PIXELS[0])
    save(root / "test" / "cows" / "a.png", PIXELS[0])
    assert one_line(root) == (
        f"{root}: class 'cows' is in test but not in train: add pictures of it to train, or remove it from test"
    )


def test_a_bad_picture_stops_or_is_skipped(tree: Path) -> None:
    bad = tree / "class0" / "00.png"
    whole = (tree / "class1" / "01.png").read_bytes()
    bad.write_bytes(whole[: len(whole) // 2])
    (tree / "class1" / "zzz.png").write_text("no picture")
    assert one_line(tree) == (
        f"{bad}: truncated (2 of 25 pictures cannot be read): see `thirtytwo data scan {tree}`, "
        "or leave them out (data.bad_images=skip; `thirtytwo data info --bad-images skip`)"
    )
    official = load(str(tree), bad_images="skip")
    assert len(official.train) == 23 and official.train.paths is not None
    assert "class0/00.png" not in official.train.paths and "class0/10.png" in official.train.paths
    for image, path in zip(official.train.images, official.train.paths, strict=True):
        assert np.array_equal(image[0].numpy(), PIXELS[int(Path(path).stem)])
    assert official.notes == (
        f"left out 2 pictures that cannot be read: {bad}: truncated; {tree}/class1/zzz.png: not a picture",
    )
    assert same(load(str(tree), bad_images="skip"), official)
    one_line(tree)  # a set that left them out is not taken for one that is whole


def test_all_bad_and_a_class_without_pictures(tree: Path) -> None:
    for path in (tree / "class3").iterdir():
        path.write_bytes(b"")
    assert one_line(tree, bad_images="skip") == (
        f"{tree}: class 'class3' has no picture to train on: add some, or remove the class"
    )
    for path in tree.rglob("*.png"):
        path.write_bytes(b"")
    message = f"none of the 24 pictures in {tree} can be read; the first is {tree}/class0/00.png: empty (0 bytes)"
    assert one_line(tree, bad_images="skip") == message == one_line(tree)


def test_pictures_that_are_cut_in_half_are_all_bad_too(tree: Path) -> None:
    for path in tree.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:60])
    assert one_line(tree, bad_images="skip").startswith("none of the 24 pictures")


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_split_that_keeps_no_picture_is_refused_by_its_name(tmp_path: Path, split: str) -> None:
    for i in range(20):
        save(tmp_path / "x" / "train" / str(DIGITS.target[i]) / f"{i}.png", PIXELS[i])
    save(tmp_path / "x" / split / "0" / "a.png", PIXELS[0])
    (tmp_path / "x" / split / "0" / "a.png").write_bytes(b"")
    assert one_line(tmp_path / "x", bad_images="skip") == (
        f"{tmp_path}/x: its {split} split has no picture that can be read: repair some, or remove the split"
    )


def test_an_unreadable_folder_is_one_line(tree: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (tree / "class0").chmod(0)
    assert "cannot be read" in one_line(tree)
    (tree / "class0").chmod(0o755)


# --- the cache -------------------------------------------------------------------------------------------------------


def entries(cache: Path) -> list[Path]:
    return sorted((cache / "decoded").glob("*.npy"))


def test_the_second_load_decodes_nothing(tree: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(str(tree), channels=3)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(decoded.picture, "decode", refuse)
    again = load(str(tree), channels=3)
    assert same(first, again) and first.notes == again.notes and first.train.paths == again.train.paths
    assert len(entries(cache)) == 1 and not list((cache / "decoded").glob(".*"))


def test_every_setting_and_every_change_of_a_file_counts(tree: Path, cache: Path) -> None:
    load(str(tree))
    for number, settings in enumerate(({"size": 16}, {"channels": 3}, {"size": 16, "fit": "crop"}), start=2):
        load(str(tree), **settings)  # type: ignore[arg-type]
        assert len(entries(cache)) == number
    path = tree / "class0" / "00.png"
    save(path, PIXELS[23])
    os.utime(path, ns=(0, 10**18))
    changed = load(str(tree))
    assert changed.train.paths is not None
    row = changed.train.paths.index("class0/00.png")
    assert np.array_equal(changed.train.images[row, 0].numpy(), PIXELS[23])


@pytest.mark.parametrize("damage", ["flip", "shorten", "empty", "json", "shape"])
def test_a_damaged_cache_is_rebuilt_and_not_believed(
    tree: Path, cache: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = load(str(tree))
    (path,) = entries(cache)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-7] ^= 1
    description = path.with_suffix(".json")
    if damage in ("json", "shape"):
        text = description.read_text()
        description.write_text(text[:-3] if damage == "json" else text.replace("[24,", "[23,"))
    path.write_bytes({"shorten": data[:-1], "empty": b""}.get(damage, data))
    assert same(load(str(tree)), first)
    assert "damaged cache" in capsys.readouterr().err
    assert same(load(str(tree)), first)
    assert capsys.readouterr().err == ""


def test_a_large_set_is_mapped_and_the_same(tree: Path) -> None:
    plain, mapped = load(str(tree)), load(str(tree), memory_limit=0)
    assert same(plain, mapped)
    assert make_splits_like(plain) == make_splits_like(mapped)
    mapped.train.images[0] = 7  # copy on write: the cache is untouched
    assert same(load(str(tree)), plain)


def make_splits_like(official: Official) -> list[bytes]:
    return [bytes(digest) for digest in official.train.pixel_digests()[:, 1]]


def test_a_cache_that_cannot_be_written_is_one_line(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("THIRTYTWO_CACHE", str(tmp_path / "file"))
    assert "set THIRTYTWO_CACHE to a folder with free space" in one_line(tree)


def test_the_size_of_the_cache(tree: Path, cache: Path) -> None:
    assert cache_size() == 0
    load(str(tree))
    assert cache_size() == sum(path.stat().st_size for path in (cache / "decoded").iterdir()) > PIXELS[:24].nbytes
    shutil.rmtree(cache / "decoded")  # as docs/data.md says
    assert cache_size() == 0
    load(str(tree))


def test_the_cache_is_written_whole_without_asserts(tree: Path, cache: Path) -> None:
    """A set that left a picture out corrects the header of its file: under ``python -O`` too."""
    (tree / "class0" / "bad.png").write_bytes(b"")
    program = "import sys; from thirtytwo.data.load import load; load(sys.argv[1], bad_images='skip')"
    subprocess.run([sys.executable, "-O", "-c", program, str(tree)], check=True)
    (path,) = entries(cache)
    assert np.load(path, allow_pickle=False).shape == (24, 1, 8, 8)


def test_the_stored_file_is_plain_numpy(tree: Path, cache: Path) -> None:
    (tree / "class0" / "bad.png").write_bytes(b"")
    official = load(str(tree), bad_images="skip")
    (path,) = entries(cache)
    assert np.array_equal(np.load(path, allow_pickle=False), official.train.images.numpy())
    assert json.loads(path.with_suffix(".json").read_text())["shape"] == [24, 1, 8, 8]


# --- the order of files, end to end ----------------------------------------------------------------------------------


def test_renamed_files_give_the_same_splits(tmp_path: Path) -> None:
    splits = []
    for name, number in (("one", lambda i: i), ("two", lambda i: 997 * i % 200)):
        for i in range(200):
            save(tmp_path / name / str(DIGITS.target[i]) / f"{number(i):03d}.png", PIXELS[i])
        splits.append(make_splits(load(str(tmp_path / name))).record)
    assert splits[0]["sha256"] == splits[1]["sha256"]
    assert splits[0]["ids"] != splits[1]["ids"]


# --- scan ------------------------------------------------------------------------------------------------------------


def test_scan_names_every_bad_picture_duplicate_and_conflict(tmp_path: Path) -> None:
    root = tmp_path / "x"
    for i in range(20):
        save(root / "train" / str(DIGITS.target[i]) / f"{i:02d}.png", PIXELS[i])
    save(root / "test" / "0" / "leak.bmp", PIXELS[0])
    save(root / "train" / "1" / "wrong.png", PIXELS[2])
    save(root / "train" / "1" / "photo.jpg", PHOTO)
    (root / "train" / "1" / "empty.png").write_bytes(b"")
    (root / "train" / "1" / "text.png").write_text("x")
    (root / "train" / "1" / "notes.txt").write_text("x")
    (root / "train" / "1" / "gone.png").symlink_to(root / "nowhere.png")
    report = scan(root)
    assert report.total == 26 and report.name == "x"
    assert {(Path(bad.name).name, bad.split, bad.label, bad.reason) for bad in report.bad} == {
        ("empty.png", "train", "1", "empty (0 bytes)"), ("text.png", "train", "1", "not a picture"),
        ("gone.png", "train", "1", "no such file"),
    }  # fmt: skip
    (leak,), (conflict,) = report.leaks, report.conflicts
    assert [Path(name).name for name in leak.names] == ["00.png", "leak.bmp"] and leak.splits == ("train", "test")
    assert {Path(name).name for name in conflict.names} == {"wrong.png", "02.png"} and conflict.labels == ("1", "2")
    assert report.class_counts["train"]["1"] == 4 and report.class_counts["test"]["0"] == 1
    assert report.sizes == {(8, 8): 22, (100, 130): 1} and report.modes == {"L": 22, "RGB": 1}
    assert report.notes == (
        "ignored files that are no pictures: 1 .txt",
        "test has no image of class '1', '2', '3', '4' and 5 more, so it does not say how well that is recognised",
    )  # fmt: skip


def test_scan_of_arrays_or_nothing_is_one_line(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=PIXELS, labels=DIGITS.target)
    with pytest.raises(UserError, match="holds arrays"):
        scan(tmp_path / "x.npz")
    with pytest.raises(UserError, match="no such file or folder"):
        scan(tmp_path / "none")
    with pytest.raises(UserError) as error:
        scan('emnist(split="letters")')
    assert str(error.value) == (
        "'emnist(split=\"letters\")' is a named source, which needs no scan: give class folders or parquet files "
        "(./emnist for a folder of that name)"
    )


def test_scan_reads_parquet(shared_data: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    source = next((shared_data / "cifar10-jpeg").rglob("test-*.parquet"))
    pq.write_table(pq.ParquetFile(source).read_row_group(0).slice(0, 50), tmp_path / "train.parquet")
    report = scan(tmp_path)
    assert report.total == 50 and not report.bad and report.sizes == {(32, 32): 50}


def test_a_tree_of_mixed_pictures_loads_and_splits(tmp_path: Path) -> None:
    """A few hundred PNG, JPEG and WebP pictures of several sizes and modes."""
    generator = np.random.default_rng(0)
    for i in range(240):
        grey, side = bool(i % 2), 20 + i % 17
        pixels = np.asarray(Image.fromarray(PHOTO).resize((side, 31)).rotate(i))
        pixels = np.clip(pixels + generator.normal(0, 20, pixels.shape), 0, 255).astype(np.uint8)
        save(
            tmp_path / "mixed" / "abc"[i % 3] / f"{i}.{('png', 'jpg', 'webp')[i % 5 % 3]}",
            pixels[..., 0] if grey else pixels,
        )
    splits = make_splits(load(str(tmp_path / "mixed")))
    assert splits.train.images.shape[1:] == (3, 32, 32)
    assert splits.record["sizes"] == {"train": 172, "val": 20, "test": 48}
