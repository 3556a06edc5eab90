"""Parquet files of every shape: read as their schema says, or refused in one line."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from thirtytwo.data import parquet
from thirtytwo.data.imageset import ImageSet
from thirtytwo.data.load import load
from thirtytwo.errors import UserError

DIGITS = load_digits()
PIXELS = np.rint(DIGITS.images * 255 / 16).astype(np.uint8)
LABELS = DIGITS.target.astype(np.int64)
TRAIN, TEST = slice(0, 100), slice(100, 150)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THIRTYTWO_CACHE", str(tmp_path / "cache"))


def check(image_set: ImageSet | None, part: slice) -> None:
    assert image_set is not None
    assert np.array_equal(image_set.images[:, 0].numpy(), PIXELS[part])
    assert np.array_equal(image_set.labels.numpy(), LABELS[part])


def one_line(source: object, **settings: object) -> str:
    with pytest.raises(UserError) as error:
        load(str(source), **settings)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    return str(error.value)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_parquet(
    path: Path, part: slice, labels: object = None, names: list[str] | None = None, key: str = "label"
) -> None:
    images = [{"bytes": png(image), "path": None} for image in PIXELS[part]]
    labels = LABELS[part] if labels is None else labels
    table = pa.table({"image": images, key: labels})
    if names:
        features = {"image": {"_type": "Image"}, key: {"_type": "ClassLabel", "names": names}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=30)


WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.mark.parametrize("layout", [
    ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet"), ("data/train-0.parquet", "data/test-0.parquet"),
    ("default/train/0000.parquet", "default/test/0000.parquet"),
])  # fmt: skip
def test_hugging_face_folders(tmp_path: Path, layout: tuple[str, str]) -> None:
    write_parquet(tmp_path / "mine" / layout[0], TRAIN, names=WORDS)
    write_parquet(tmp_path / "mine" / layout[1], TEST, names=WORDS)
    official = load(str(tmp_path / "mine"))
    assert official.name == "mine" and official.train.classes == tuple(WORDS)
    check(official.train, TRAIN)
    check(official.test, TEST)


def test_shards_are_joined_in_order_and_one_file_is_a_train_split(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-00000-of-00002.parquet", slice(0, 60), names=WORDS)
    write_parquet(tmp_path / "train-00001-of-00002.parquet", slice(60, 100), names=WORDS)
    check(load(str(tmp_path)).train, TRAIN)
    write_parquet(tmp_path / "one" / "mine.parquet", TRAIN)
    official = load(str(tmp_path / "one" / "mine.parquet"))
    check(official.train, TRAIN)
    assert official.name == "mine" and official.train.classes == tuple("0123456789")


def test_text_labels_and_fine_labels(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a" / "x.parquet", TRAIN, [WORDS[label] for label in LABELS[TRAIN]])
    official = load(str(tmp_path / "a"))
    assert official.train.classes == tuple(sorted(WORDS))
    assert [official.train.classes[label] for label in official.train.labels] == [WORDS[i] for i in LABELS[TRAIN]]
    write_parquet(tmp_path / "b" / "x.parquet", TRAIN, names=WORDS, key="fine_label")
    check(load(str(tmp_path / "b")).train, TRAIN)


@pytest.mark.parametrize("end", ["\0", "\0\0", "\0x"])
def test_class_names_that_no_text_array_keeps_are_refused(tmp_path: Path, end: str) -> None:
    write_parquet(tmp_path / "x.parquet", TRAIN, [WORDS[label] + end for label in LABELS[TRAIN]])
    assert f"the class name {sorted(WORDS)[0] + end!a} has a NUL character: rename it" in one_line(tmp_path)


def test_parquet_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    write_parquet(path, TRAIN, names=WORDS[:5])
    assert "label 5 of row 5 is out of range: 5 classes need labels 0 to 4" in one_line(path)
    write_parquet(path, TRAIN, [None, *LABELS[1:100].tolist()], names=WORDS)
    assert "1 row without a label in 'label'" in one_line(path)
    write_parquet(path, TRAIN, key="answer")
    assert "no column of labels" in one_line(path)
    pq.write_table(pa.table({"label": [1, 2]}), path)
    assert "no column of pictures" in one_line(path)
    write_parquet(path, TRAIN, names=WORDS)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert f"{path}: truncated, or not a parquet file" in one_line(path)
    path.write_bytes(whole[:100] + bytes(len(whole) - 1200) + whole[-1100:])
    assert f"{path}" in one_line(path)
    path.rename(tmp_path / "test.parquet")
    (tmp_path / "test.parquet").write_bytes(whole)
    assert "expected train-*.parquet" in one_line(tmp_path)


def write_columns(path: Path, labels: object, metadata: object = None, **columns: object) -> None:
    """A file of as many pictures as there are labels, with any other columns before them, and any metadata."""
    pictures = [{"bytes": png(image), "path": None} for image in PIXELS[: len(labels)]]  # type: ignore[arg-type]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table(columns | {"image": pa.array(pictures, kind), "label": labels})
    if metadata is not None:
        text = metadata if isinstance(metadata, bytes) else json.dumps(metadata)
        table = table.replace_schema_metadata({"huggingface": text})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def described(**features: object) -> dict[str, object]:
    return {"info": {"features": features}}


def class_label(*names: str) -> dict[str, object]:
    return {"_type": "ClassLabel", "names": list(names)}


@pytest.mark.parametrize(("labels", "message"), [
    ([[0], [1]], "column 'label' holds list<"), ([[0], [1, 2]], "column 'label' holds list<"),
    ([0.0, 1.0], "holds double"), ([True, False], "holds bool"), ([{"a": 1}, {"a": 2}], "holds struct<"),
    ([b"a", b"b"], "holds binary"), ([None, None], "2 rows without a label in 'label'"),
    (pa.array([0, None]), "1 row without a label in 'label'"),
    (pa.array(["a", None]).dictionary_encode(), "1 row without a label in 'label'"),
    (pa.array([], pa.int64()), "holds no rows of train"),
])  # fmt: skip
def test_labels_of_other_types_are_one_line(tmp_path: Path, labels: object, message: str) -> None:
    write_columns(tmp_path / "x.parquet", labels)
    assert message in (said := one_line(tmp_path / "x.parquet")) and str(tmp_path / "x.parquet") in said


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "dictionary"])
def test_text_of_every_type_is_a_label(tmp_path: Path, kind: str) -> None:
    type_ = pa.dictionary(pa.int8(), pa.string()) if kind == "dictionary" else getattr(pa, kind)()
    write_columns(tmp_path / "x.parquet", pa.array(["b", "a", "b"], type_))
    train = load(str(tmp_path / "x.parquet")).train
    assert train.classes == ("a", "b") and train.labels.tolist() == [1, 0, 1]


JSON = (None, True, 1, -1.5, "text", [], {}, [1], [[]], {"a": 1}, [{"names": ["a"]}], "ClassLabel")


@pytest.mark.parametrize("value", JSON, ids=range(len(JSON)))
def test_metadata_of_every_shape_are_read_or_one_line(tmp_path: Path, value: object) -> None:
    """Each JSON type in the place of each part; the class names are used only where they are whole."""
    path = tmp_path / "x.parquet"
    for metadata in (
        value, {"info": value}, described(label=value, image=value), {"info": {"features": value}},
        described(label={"_type": value, "names": ["a", "b"]}),
        described(label={"_type": "ClassLabel", "names": value}),
        described(label=class_label("a", "b") | {"names": ["a", value]}), described(image={"_type": value}),
    ):  # fmt: skip
        write_columns(path, [0, 1, 0], metadata)
        try:
            assert load(str(path)).train.classes in (("0", "1"), ("a", "b"), ("a", "text"), ("a", "ClassLabel"))
        except UserError as error:
            assert str(path) in str(error) and "metadata" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("metadata", [
    b"", b"{", b"\xff", b"[" * 100_000, b'{"info": ' * 3000, b"1" * 5000, b"NaN", b'{"info": {',
    described(label=class_label("a", "a")), described(label=class_label("a", "\ud800")),
    described(label=class_label("a", "b\n")),
], ids=range(11))  # fmt: skip
def test_metadata_that_are_damaged_are_one_line(tmp_path: Path, metadata: object) -> None:
    write_columns(tmp_path / "x.parquet", [0, 1, 0], metadata)
    assert "x.parquet: the metadata 'huggingface' in its schema are damaged" in one_line(tmp_path / "x.parquet")


def test_the_columns_are_chosen_by_name_and_said(tmp_path: Path, cli: Callable[..., Any]) -> None:
    path = tmp_path / "x.parquet"
    small = [{"bytes": png(np.zeros((4, 4), np.uint8)), "path": None}] * 100
    other = [0, 1] * 50
    write_columns(path, LABELS[TRAIN], described(kind=class_label("a", "b")), depth=small, kind=other)
    official = load(str(path))
    check(official.train, TRAIN)
    assert official.notes == (
        "pictures are column 'image', not depth (data.image_column chooses); "
        "labels are column 'label', not kind (data.label_column chooses)",
    )
    chosen = load(str(path), image_column="depth", label_column="kind")
    assert chosen.train.size == (4, 4) and chosen.train.classes == ("a", "b") and chosen.train.labels.tolist() == other
    shown = json.loads(cli("data", "info", path, "--image-column", "depth", "--label-column", "kind", "--json").out)
    assert shown["size"] == [4, 4] and shown["classes"] == ["a", "b"]
    scanned = json.loads(cli("data", "scan", path, "--image-column", "depth", "--label-column", "kind", "--json").out)
    assert scanned["sizes"] == {"4x4": 100} and scanned["class_counts"]["train"] == {"a": 50, "b": 50}
    for setting, message in (
        ({"image_column": "none"}, "no column 'none' among depth, kind, image and label: set data.image_column"),
        ({"image_column": "label"}, "column 'label' holds int64, expected encoded pictures: set data.image_column"),
        ({"label_column": "none"}, "no column 'none' among depth, kind, image and label: set data.label_column"),
        ({"label_column": "depth"}, "column 'depth' holds struct<"),
    ):
        assert message in one_line(path, **setting)


def test_the_same_file_with_another_label_column_is_not_taken_from_the_cache(tmp_path: Path) -> None:
    write_columns(tmp_path / "x.parquet", LABELS[:50], kind=[0, 1] * 25)
    digests = [load(str(tmp_path / "x.parquet"), label_column=name).train.digests for name in ("label", "kind")]
    assert not np.array_equal(*digests)


def test_a_choice_that_would_be_a_guess_is_refused(tmp_path: Path) -> None:
    pictures = [{"bytes": png(image), "path": None} for image in PIXELS[:4]]
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"left": pictures, "right": pictures, "label": [0, 1, 0, 1]}), path)
    assert "several columns of pictures (left and right): set data.image_column" in one_line(path)
    table = pa.table({"image": pictures, "breed": [0, 1, 0, 1], "colour": [1, 0, 1, 0]})
    features = described(breed=class_label("a", "b"), colour=class_label("c", "d"))
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), path)
    assert "several columns of labels (breed and colour)" in one_line(path)
    assert load(str(path), label_column="colour").train.classes == ("c", "d")
    twice = pa.Table.from_arrays([table["image"], table["breed"], table["breed"]], names=["image", "label", "label"])
    pq.write_table(twice, path)
    assert "2 columns are called 'label'" in one_line(path)


def test_columns_are_refused_where_there_are_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=PIXELS, labels=LABELS)
    for source in ("digits", str(tmp_path / "x.npz")):
        with pytest.raises(UserError, match=r"data\.label_column=y is for parquet files, which"):
            load(source, label_column="y")


@pytest.mark.parametrize(("train", "test", "message"), [
    ((["cat", "dog"], class_label("cat", "dog")), (["dog", "elk"], class_label("cat", "dog")),
     "label elk of row 1 is out of range: the schema names cat and dog"),
    (([0, 1], class_label("cat", "dog")), ([-1, -1], class_label("cat", "dog")), "all labels are -1"),
    (([0, 1], class_label("cat", "dog")), ([0, 1], class_label("dog", "cat")), "disagree on the class names"),
    (([0, 1], class_label("cat", "dog")), ([0, 1], None), "disagree on the class names"),
    ((["cat", "dog"], None), ([0, 1], None), "text in train.parquet and numbers in test.parquet"),
    ((["cat", "dog"], None), (["cat", "elk"], None), "class 'elk' is in test but not in train"),
    (([0, 1], class_label("cat", "dog", "elk")), ([0, 2], class_label("cat", "dog", "elk")), "class 'elk' is in test"),
    (([0, 2**63], class_label("cat", "dog")), ([0], class_label("cat", "dog")), "label 9223372036854775808 of row 1"),
], ids=range(8))  # fmt: skip
def test_splits_that_disagree_are_one_line(tmp_path: Path, train: tuple, test: tuple, message: str) -> None:  # type: ignore[type-arg]
    for name, (labels, feature) in (("train", train), ("test", test)):
        kind = pa.uint64() if 2**63 in labels else None
        write_columns(tmp_path / f"{name}.parquet", pa.array(labels, kind), feature and described(label=feature))
    assert message in one_line(tmp_path)


def test_names_in_the_schema_and_in_the_column_and_names_without_pictures(tmp_path: Path) -> None:
    feature = described(label=class_label("owl", "elk", "cat", "yak"))
    write_columns(tmp_path / "a.parquet", ["cat", "owl", "cat"], feature)
    write_columns(tmp_path / "b.parquet", [2, 0, 2], feature)
    for name in "ab":
        official = load(str(tmp_path / f"{name}.parquet"))
        assert official.train.classes == ("owl", "cat") and official.train.labels.tolist() == [1, 0, 1]
        assert official.notes[1] == "no picture of elk and yak, which the schema names: left out"


@pytest.mark.parametrize(("files", "counts", "note"), [
    ("train-0 eval-0 holdout-0", (9, 9, 9), None), ("train/0 eval/0 hold_out/0", (9, 9, 9), None),
    ("partial-train/0 partial-test/0", (9, 0, 9), None), ("train-0 deep/er/eval", None, "holds several sets"),
    ("data/train-0 data/dev-0", (9, 9, 0), None), ("train-0 eval/0", (9, 9, 0), None),
    ("train-0 test-0 extra-0", (9, 0, 9), "ignored 1 parquet file of no split: extra-0.parquet"),
    ("one two", (18, 0, 0), None), ("one test", (9, 0, 9), None), (".cache/train-1 train-0", (9, 0, 0), None),
    ("eval-0 test-0", None, "holds parquet files for"), ("a/train-0 b/train-0", None, "holds several sets"),
])  # fmt: skip
def test_files_go_to_the_splits_that_their_names_say(
    tmp_path: Path, files: str, counts: tuple[int, ...] | None, note: str | None
) -> None:
    root = tmp_path / "test-data"  # the source's own name says nothing
    for name in files.split():
        write_columns(root / f"{name}.parquet", [0, 1, 2] * 3)
    if counts is None:
        assert note is not None and note in one_line(root)
        return
    official = load(str(root))
    assert tuple(0 if each is None else len(each) for each in (official.train, official.val, official.test)) == counts
    assert official.notes[:-1] == ((note,) if note else ())


def test_suffixes_are_known_in_any_case(tmp_path: Path) -> None:
    for name in ("train.PARQUET", "test.Parquet"):
        write_columns(tmp_path / name, [0, 1, 2])
    official = load(str(tmp_path))
    assert len(official.train) == 3 and official.test is not None and len(official.test) == 3
    assert len(load(str(tmp_path / "train.PARQUET")).train) == 3


def test_one_file_is_train_whatever_its_name(tmp_path: Path) -> None:
    write_columns(tmp_path / "test.parquet", [0, 1, 2])
    assert len(load(str(tmp_path / "test.parquet")).train) == 3


def test_paths_without_pictures_and_rows_without_end_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pictures = pa.array([{"bytes": None, "path": f"{i}.png"} for i in range(3)], kind)
    pq.write_table(pa.table({"image": pictures, "label": [0, 1, 0]}), path)
    assert f"{path}: column 'image' has the paths of pictures, not the pictures" in one_line(path)
    pq.write_table(pa.table({"image": pa.array([b""] * 1_000_000), "label": pa.array(np.zeros(1_000_000, int))}), path)
    assert f"{path}: damaged: more rows than bytes" in one_line(path)


def test_several_sets_in_one_folder_are_not_mixed(tmp_path: Path) -> None:
    write_parquet(tmp_path / "cropped" / "train-0.parquet", TRAIN, names=WORDS)
    write_parquet(tmp_path / "full" / "train-0.parquet", TRAIN, names=WORDS)
    assert "holds several sets" in one_line(tmp_path)


def test_the_jpeg_cifar10_is_called_what_it_is(shared_data: Path) -> None:
    gathered = parquet.gather(shared_data / "cifar10-jpeg")
    assert gathered.name == "CIFAR-10 (JPEG)" and gathered.classes == parquet.CIFAR10
    assert {split: len(part.labels) for split, part in gathered.splits.items()} == {"train": 50_000, "test": 10_000}
    assert all(np.bincount(part.labels).tolist() == [len(part.labels) // 10] * 10 for part in gathered.splits.values())


def test_a_part_of_the_jpeg_cifar10_loads_and_is_called_after_its_folder(shared_data: Path, tmp_path: Path) -> None:
    source = next((shared_data / "cifar10-jpeg").rglob("test-*.parquet"))
    rows = pq.ParquetFile(source).read_row_group(0).slice(0, 200)
    pq.write_table(rows, tmp_path / "train-0.parquet")
    official = load(str(tmp_path))
    assert official.name == tmp_path.name and official.train.images.shape == (200, 3, 32, 32)
    first = Image.open(io.BytesIO(rows["img"][0]["bytes"].as_py()))
    assert np.array_equal(official.train.images[0].permute(1, 2, 0).numpy(), np.asarray(first))
