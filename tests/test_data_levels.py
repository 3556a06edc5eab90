"""Which level of a tree of folders is which: read as a careful user would, or refused with the way out."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from thirtytwo.data.decoded import Gathered
from thirtytwo.data.folder import gather
from thirtytwo.errors import UserError

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)


def build(root: Path, *words: str) -> Path:
    """``train/cat 3``: three pictures in that folder; ``notes/a.txt``: that file; ``empty/``: that folder."""
    for word in words:
        path, _, count = word.rpartition(" ")
        if word.endswith("/"):
            (root / word).mkdir(parents=True, exist_ok=True)
        elif count.isdigit():
            (root / path).mkdir(parents=True, exist_ok=True)
            for i in range(int(count)):
                (root / path / f"p{i}.png").write_bytes(PNG)
        else:
            (root / word).parent.mkdir(parents=True, exist_ok=True)
            (root / word).write_bytes(PNG if word.endswith(".png") else b"x")
    return root


def read(root: Path, *words: str) -> Gathered:
    return gather(build(root / "set", *words))


def counts(found: Gathered) -> dict[str, dict[str, int]]:
    """Split -> class -> pictures."""
    return {
        split: {name: n for i, name in enumerate(found.classes) if (n := int((encoded.labels == i).sum()))}
        for split, encoded in found.splits.items()
    }


def refused(root: Path, *words: str) -> str:
    with pytest.raises(UserError) as error:
        read(root, *words)
    return str(error.value).replace(str(root / "set"), "SET")


SPLITS_AND_NOTHING_ELSE = [
    ("train 5", "test 3"), ("train 5", "test1 3"), ("train 5", "val 1", "test 3"), ("seg_train 2", "seg_test 2"),
    ("Training 2", "Testing 3"), ("x_train 2", "x_test 2"), ("train 5",), ("train 5", "test 3", "bus 2"),
    ("images/train 3", "images/val 4", "labels/train/a.txt"), ("set/train 3", "set/test 3"),
]  # fmt: skip


@pytest.mark.parametrize("words", SPLITS_AND_NOTHING_ELSE)
def test_splits_without_class_folders_are_no_classes(tmp_path: Path, words: tuple[str, ...]) -> None:
    message = refused(tmp_path, *words)
    assert "without class folders: a picture's class is the name of its folder" in message
    assert "<class>/<picture>" in message


@pytest.mark.parametrize(
    ("words", "expected", "note"),
    [
        (("train/a 2", "train/b 3", "test/a 1", "test/b 1"), {"train": {"a": 2, "b": 3}, "test": {"a": 1, "b": 1}}, ""),
        (
            ("seg_train/seg_train/a 2", "seg_train/seg_train/b 3", "seg_test/seg_test/a 1", "seg_test/seg_test/b 1"),
            {"train": {"a": 2, "b": 3}, "test": {"a": 1, "b": 1}},
            "read seg_train as train and seg_test as test, by their names",
        ),
        (
            ("train/a 1", "train/b 1", "eval/a 1", "eval/b 1", "holdout/a 2", "holdout/b 1"),
            {"train": {"a": 1, "b": 1}, "val": {"a": 1, "b": 1}, "test": {"a": 2, "b": 1}},
            "read eval as val and holdout as test, by their names",
        ),
        (("set/set/train/a 1", "set/set/train/b 1", "notes.md"), {"train": {"a": 1, "b": 1}}, "read set/set, since"),
        (("images/train/a 1", "images/train/b 1", "labels/a.txt"), {"train": {"a": 1, "b": 1}}, "read images, since"),
        (("train/train/a 1", "train/train/b 1"), {"train": {"a": 1, "b": 1}}, "read train, since"),
        (("all/a 1", "all/b 1"), {"train": {"a": 1, "b": 1}}, "read all, since"),
        (
            ("a/train 3", "a/test 2", "b/train 3", "b/test 1"),
            {"train": {"a": 3, "b": 3}, "test": {"a": 2, "b": 1}},
            "read a/test and the like as <class>/<split>",
        ),
        (
            ("a/images/train 3", "a/images/test 2", "b/x/y/train 3", "b/x/y/test 1"),
            {"train": {"a": 3, "b": 3}, "test": {"a": 2, "b": 1}},
            "read a/images/test and the like as <class>/<split>",
        ),
        (
            ("set/a/images/train 3", "set/a/images/eval 2", "set/b/images/train 3"),
            {"train": {"a": 3, "b": 3}, "val": {"a": 2}},
            "read set/a/images/eval and the like as <class>/<split>",
        ),
        (("train 5", "bus 2", "car 3"), {"train": {"bus": 2, "car": 3, "train": 5}}, "read train (5 pictures) as a"),
        (("a/images 3", "b/images 2"), {"train": {"a": 3, "b": 2}}, "a (images) and b (images)"),
        (("train/mask 3", "train/no_mask 2"), {"train": {"mask": 3, "no_mask": 2}}, ""),
        (("a/x/images 3", "b/x/images 2"), {"train": {"a": 3, "b": 2}}, "a (x) and b (x)"),
        (("cat/x/persian 3", "dog/x/pug 4"), {"train": {"cat": 3, "dog": 4}}, "cat (x) and dog (x)"),
        (("cat/persian 3", "dog/pug 4", "dog 1"), {"train": {"cat": 3, "dog": 5}}, "cat (persian) and dog (pug)"),
        (("train/a/x 1", "train/a/y 1", "train/b/x 1", "train/b/y 1"), {"train": {"a": 2, "b": 2}}, "a (x and y)"),
    ],
)  # fmt: skip
def test_levels_are_recognised_and_what_is_unusual_is_said(
    tmp_path: Path, words: tuple[str, ...], expected: dict[str, dict[str, int]], note: str
) -> None:
    found = read(tmp_path, *words)
    assert counts(found) == expected
    assert any(note in each for each in found.notes) if note else found.notes == ()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train/a 1", "train/b 1", "val/a 2", "valid/a 3"), "val (2 pictures) and valid (3 pictures) both mean val"),
        (("Train/a 1", "train/b 1"), "Train (1 picture) and train (1 picture) both mean train"),
        (("train/a 1", "train/b 1", "test1/a 1", "test2/a 1", "test3/a 1"), "all mean test"),
        (("a/train 1", "b/train 1", "a/val 1", "a/eval 1"), "both mean val of a"),
        (("train/a 1", "train/b 1", "valid 9"), "valid (9 pictures) holds no class folders"),
        (("train/a 1", "train/b 1", "val/images 9"), "val (9 pictures) holds no class folders"),
        (("ok 3", "nok 3", "test 7"), "test (7 pictures) has the name of a split and lies beside nok and ok"),
        (("valid 3", "invalid 3"), "valid (3 pictures) has the name of a split and lies beside invalid"),
        (("train 3", "extra 3"), "train (3 pictures) has the name of a split"),
        (("ok 3", "nok 3", "test/ok 1", "test/nok 1"), "move the class folders into SET/train"),
        (("test/a 3", "test/b 3"), "SET holds test, but no train folder"),
        (("2019/a 1", "2019/b 1", "2020/a 1", "2020/b 1"), "hold the same folders (a and b)"),
        (("2019/01 1", "2019/02 1", "2019/03 1", "2020/01 1", "2020/02 1"), "hold the same folders (01 and 02)"),
        (("A/ok 3", "A/nok 3", "B/ok 3", "B/nok 2", "C/ok 1"), "data.source=SET/A"),
        (
            ("amazon/images/bag 3", "amazon/images/mug 3", "dslr/images/bag 3", "dslr/images/mug 3"),
            "amazon (6 pictures) and dslr (6 pictures) hold the same folders (bag and mug)",
        ),
        (("amazon/images/bag 3", "amazon/images/mug 3", "dslr/bag 3", "dslr/mug 3"), "hold the same folders (bag and"),
        (("p1/s1/cat 3", "p1/s1/dog 3", "p2/s2/x/cat 3", "p2/s2/x/dog 3"), "hold the same folders (cat and dog)"),
        (("a/x/cat 1", "b/x/dog 1", "c/x/cat 1"), "hold the same folders (cat)"),
        (("one/images/train/cat 3", "two/images/train/dog 3"), "name one of them, data.source=SET/one"),
        (
            ("cat/images/train 3", "cat/images/test 2", "dog 4"),
            "class cat holds images/test (2 pictures) and images/train (3 pictures), by name splits",
        ),
        (("cat/images/train 3", "cat/images/test 2", "cat 1", "dog 4"), "class cat holds images/test (2 pictures)"),
        (("cat/1/train 3", "cat/2/test 3", "dog/3/train 3"), "class cat holds 1/train (3 pictures) and 2/test"),
        (("train/cat/images/train 3", "train/cat/images/test 2", "train/dog 4"), "class cat holds images/test"),
        (("train/cat/x/val 3", "train/dog/x/val 2"), "class cat holds x/val (3 pictures), by name a split"),
        (("cat/front 1", "cat/back 1", "dog/front 1", "dog/back 1"), "if cat and dog are the classes, move them into"),
        (("fold1/a 1", "fold1/b 1", "fold2/a 1", "fold2/b 1"), "fold1 and fold2 are parts of one set"),
        (("fold_1 1", "fold_2 1", "fold_3 1"), "fold_1, fold_2 and fold_3 are parts of one set"),
        (("one/train/a 1", "one/train/b 1", "two/train/a 1", "two/test/a 1"), "name one of them, data.source=SET/one"),
        (("images 3", "masks 3"), "images and masks are pictures and annotations"),
        (("image 3", "ground-truth 3"), "ground-truth and image are pictures and annotations"),
        (("Images 3", "Ground Truth 3"), "Ground Truth and Images are pictures and annotations"),
        (("JPEG-Images 3", "ground_truth 3"), "JPEG-Images and ground_truth are pictures and annotations"),
        (("JPEGImages 3", "SegmentationClass 3", "Annotations/a.xml"), "and SegmentationClass are pictures and annot"),
        (("images_512 3", "masks_512 3"), "images_512 and masks_512 are pictures and annotations"),
        (
            ("images/training 3", "images/validation 3", "annotations/training 3", "annotations/validation 3"),
            "annotations and images are pictures and annotations by their names, not classes",
        ),
        (("images/train 3", "images/val 3", "labels/train 3"), "images and labels are pictures and annotations"),
        (
            ("train/images 3", "train/masks 3", "val/images 3", "val/masks 3"),
            "train/images and train/masks are pictures and annotations by their names, not classes: sort the pictures "
            "into train/<class>/<picture>; if they are classes, rename one",
        ),
        (("train/x/images 3", "train/x/masks 3"), "x/images and train/x/masks are pictures and annotations"),
        (("train/images/a 3", "train/images/b 3", "train/masks/a 3"), "train/images and train/masks are pictures and"),
        (("train/a 3", "train/b 3", "val/images 3", "val/gt 3"), "val/gt and val/images are pictures and annotations"),
        (("a/images 3", "a/masks 3", "b/images 3", "b/masks 3"), "leave only the pictures in a"),
        (("train/a/images 3", "train/a/masks 3", "train/b 3"), "leave only the pictures in train/a"),
        (("a/train 3", "a/test 3", "b 1"), "class a holds test (3 pictures) and train (3 pictures), by name splits"),
        (("a 3", "a/test 2", "b 3", "b/test 1"), "class a holds test (2 pictures), by name a split"),
        (("train/train/a 1", "train/val/a 1", "test/a 1"), "data.source=SET/train"),
        (("train/a/x 1", "train/a/y 1", "train/b/"), "1 class folder ('a'); train/b is empty"),
        (("train/a 1", "train/b/", "val/a 1", "val/b 1"), "class 'b' is in val but not in train; train/b is empty"),
    ],
)  # fmt: skip
def test_what_is_unclear_is_refused_with_the_way_out(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    assert message in refused(tmp_path, *words)


@pytest.mark.parametrize(
    ("words", "note"),
    [
        (("train/a 1", "train/b 1", "test 7"), "left out test (7 pictures): it holds no class folders"),
        (("train/a 1", "train/b 1", "test/test 7"), "left out test (7 pictures): it holds no class folders"),
        (("train/a 1", "train/b 1", "more/a 7", "old 1"), "left out more (7 pictures) and old (1 picture)"),
        (("a 1", "b 1", "owl/"), "owl is empty, so it is left out"),
        (("a 1", "b 1", "owl/1.npy", "owl/2.npy", "owl/x.csv"), "owl holds no pictures (2 .npy and 1 .csv)"),
        (("train/a 1", "train/b 1", "val/"), "val is empty, so it is left out"),
        (("a 1", "b 1", "p.png", "q.png", "r.png"), "left out 3 pictures beside class folders: p.png"),
        (("train/a 1", "train/b 1", "train/p.png"), "left out 1 picture beside class folders: train/p.png"),
        (("a 1", "b 1", "a/x.svg", "a/y.svg", "z.csv"), "ignored files that are no pictures: 2 .svg and 1 .csv"),
        (("a 1", "b 1", "a/._x.png", "a/.DS_Store", "b/Thumbs.db"), "ignored 3 hidden or system files"),
        (
            ("a 1", "b 1", "@eaDir/x.png", "a/@eaDir/x.png", "__MACOSX/a/y.png", ".ipynb_checkpoints/z.png",
             "$RECYCLE.BIN/x.png", "lost+found/"),
            "ignored 6 hidden or system folders: $RECYCLE.BIN, .ipynb_checkpoints, @eaDir (2), __MACOSX and 1 more",
        ),
    ],
)  # fmt: skip
def test_what_is_not_read_is_named_with_its_count(tmp_path: Path, words: tuple[str, ...], note: str) -> None:
    found = read(tmp_path, *words)
    assert found.classes == ("a", "b") and counts(found)["train"] == {"a": 1, "b": 1}
    assert any(each.startswith(note) for each in found.notes), found.notes


@pytest.mark.parametrize(
    ("train", "val", "difference"),
    [
        ("Cat", "cat", "'cat' and 'Cat' differ only in upper and lower case"),
        ("caf\u00e9", "cafe\u0301", "'cafe\\u0301' and 'caf\\xe9' differ only in how Unicode writes the same"),
        ("cat", "cat ", "'cat\\x20' and 'cat' differ only in blanks"),
        ("a cat", "a  cat", "'a\\x20\\x20cat' and 'a\\x20cat' differ only in blanks"),
        ("cat", "ca\u200bt", "'ca\\u200bt' and 'cat' differ only in invisible characters"),
        (
            "\u00c9t\u00e9",
            "e\u0301te\u0301 ",
            "'e\\u0301te\\u0301\\x20' and '\\xc9t\\xe9' differ only in case, blanks and how",
        ),
    ],
)
def test_names_that_hardly_differ_are_told_apart(tmp_path: Path, train: str, val: str, difference: str) -> None:
    words = (f"train/{train}/a.png", "train/the/a.png", f"val/{val}/a.png", "val/the/a.png")
    assert f"class names in val and train, {difference}" in refused(tmp_path / "two", *words)
    both = read(tmp_path / "one", f"{train}/a.png", f"{val}/a.png", "the/a.png")
    assert len(both.classes) == 3 and "stay two" in both.notes[0]


def test_a_class_linked_from_two_splits_is_in_both(tmp_path: Path) -> None:
    build(tmp_path, "pool/a 2", "pool/b 3")
    for split in ("train", "val"):
        (tmp_path / "set" / split).mkdir(parents=True)
        for name in ("a", "b"):
            (tmp_path / "set" / split / name).symlink_to(tmp_path / "pool" / name)
    assert counts(gather(tmp_path / "set")) == {"train": {"a": 2, "b": 3}, "val": {"a": 2, "b": 3}}


def latin(folder: Path, name: bytes) -> Path:
    """A path within ``folder`` whose name is not UTF-8."""
    path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
    try:
        path.touch()
        path.unlink()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    return path


def test_a_class_folder_whose_name_is_not_utf8_is_refused(tmp_path: Path) -> None:
    root = build(tmp_path, "set/the 2")
    folder = latin(root / "set", b"caf\xe9")
    folder.mkdir()
    (folder / "a.png").write_bytes(PNG)
    with pytest.raises(UserError) as error:
        gather(root / "set")
    assert str(error.value).endswith("the name of class folder 'caf\\xe9' is not UTF-8: rename it")


def test_pictures_whose_names_are_not_utf8_work_everywhere(cli, tmp_path):
    root, digits = tmp_path / "set", load_digits()
    for i in np.flatnonzero(digits.target < 2)[:40]:
        folder = root / str(digits.target[i])
        folder.mkdir(parents=True, exist_ok=True)
        with latin(folder, b"caf\xe9%d.png" % i).open("wb") as file:
            Image.fromarray((digits.images[i] * 15).astype(np.uint8)).save(file, "PNG")
    out = ("--device", "cpu", "--out", tmp_path / "runs")
    done = cli("train", f"data.source={root}", "model=cnn2(width=2)", "epochs=1", *out)
    assert done.code == 0, done.err
    (run,) = (tmp_path / "runs").iterdir()
    assert cli("train", "--resume", run, "--device", "cpu").code == 0
    rows = list(csv.reader(cli("predict", run, root, "--csv").out.splitlines()))
    assert len(rows) == 41
    assert cli("data", "scan", root).code == 0
    next(path for path in sorted(root.rglob("*.png"))).write_bytes(b"x")
    assert "caf\\xe9" in cli("train", f"data.source={root}", *out).err
