"""Every layout that is documented loads; everything else gets one clear line."""

import gzip
import hashlib
import io
import math
import os
import pickle
import re
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from sklearn.datasets import load_digits

from thirtytwo.data import cifar, given, idx, matlab, sources, svhn
from thirtytwo.data.fetch import Remote
from thirtytwo.data.imageset import ImageSet
from thirtytwo.data.load import load
from thirtytwo.data.scan import scan
from thirtytwo.errors import UserError

DIGITS = load_digits()
PIXELS = np.rint(DIGITS.images * 255 / 16).astype(np.uint8)
LABELS = DIGITS.target.astype(np.int64)
TRAIN, TEST = slice(0, 100), slice(100, 150)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THIRTYTWO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def check(image_set: ImageSet | None, part: slice, images: np.ndarray = PIXELS) -> None:
    assert image_set is not None
    assert np.array_equal(image_set.images[:, 0].numpy(), images[part])
    assert np.array_equal(image_set.labels.numpy(), LABELS[part])
    assert image_set.ids.tolist() == list(range(part.stop - part.start))


PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def one_line(source: object, **settings: object) -> str:
    with pytest.raises(UserError) as error:
        load(str(source), **settings)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    return str(error.value)


# --- by name ---------------------------------------------------------------------------------------------------------


def test_names() -> None:
    known = {"digits", "mnist", "fashion-mnist", "kmnist", "emnist", "cifar10", "cifar100", "svhn"}
    assert known <= set(sources.names())
    assert all(sources.summary(name).endswith(".") for name in known)


def test_digits_are_scaled_to_the_full_range() -> None:
    official = load("digits")
    assert len(official.train) == 1797 and official.test is None and official.notes == ()
    check(official.train.select(torch.arange(100)), TRAIN)
    assert official.train.images.max() == 255


def test_a_name_with_a_typo_and_a_wrong_argument() -> None:
    assert "neither a data source nor a folder here: did you mean 'mnist'?" in one_line("mnits")
    assert "emnist" in one_line('emnist(split="greek")')
    assert "has no argument 'part'" in one_line("emnist(part=1)")


def test_size_and_channels_apply_to_every_source_and_are_noted() -> None:
    official = load("digits", size=16, channels=3)
    assert official.train.images.shape == (1797, 3, 16, 16)
    assert official.notes == ("all images resized from 8x8 to 16x16 (pad)", "all images converted from grey to RGB")


def test_emnist_stands_upright_and_its_letters_begin_at_a(cache: Path) -> None:
    turned = np.ascontiguousarray(PIXELS[:20].transpose(0, 2, 1))
    official = idx.emnist_official("letters", [turned, LABELS[:20] + 1, turned, LABELS[:20] + 1])
    check(official.train, slice(0, 20))
    assert official.train.classes[:3] == ("A", "B", "C") and official.name == "EMNIST letters"


def put_in_cache(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, path: str, data: bytes) -> None:
    """Stand ``data`` in for what its publisher would send: the same file name, its own digest, no mirror."""
    remote = Remote(path, hashlib.sha256(data).hexdigest(), ())
    monkeypatch.setattr(module, name, remote)
    remote.here.parent.mkdir(parents=True, exist_ok=True)
    remote.here.write_bytes(data)


def test_emnist_by_name_reads_its_split_from_the_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for stem, part in (("train", TRAIN), ("test", TEST)):
            turned = np.ascontiguousarray(PIXELS[part].transpose(0, 2, 1))
            archive.writestr(f"gzip/emnist-digits-{stem}-images-idx3-ubyte.gz", gzip.compress(idx_bytes(turned)))
            archive.writestr(f"gzip/emnist-digits-{stem}-labels-idx1-ubyte.gz", gzip.compress(idx_bytes(LABELS[part])))
    put_in_cache(monkeypatch, idx, "_EMNIST_ZIP", "emnist/gzip.zip", file.getvalue())
    official = load('emnist(split="digits")')
    check(official.train, TRAIN)
    check(official.test, TEST)


def test_cifar10_by_name_takes_the_archive_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, data in cifar10_files(binary=False).items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    put_in_cache(monkeypatch, cifar, "_ARCHIVE_10", "cifar10/cifar-10-python.tar.gz", file.getvalue())
    assert np.array_equal(load("cifar10").train.images.numpy().reshape(40, 3072), ROWS[:40])


def test_svhn_calls_its_ten_a_zero(tmp_path: Path) -> None:
    images = np.repeat(PIXELS[:20, :, :, None], 3, axis=3).transpose(1, 2, 3, 0)
    labels = np.where(LABELS[:20] == 0, 10, LABELS[:20])[:, None].astype(np.uint8)
    savemat(tmp_path / "train_32x32.mat", {"X": images, "y": labels})
    check(svhn.read(tmp_path / "train_32x32.mat"), slice(0, 20))
    (tmp_path / "bad.mat").write_bytes((tmp_path / "train_32x32.mat").read_bytes()[:900])
    with pytest.raises(UserError, match="truncated"):
        svhn.read(tmp_path / "bad.mat")
    savemat(tmp_path / "bad.mat", {"X": images[..., 1:], "y": labels})
    with pytest.raises(UserError, match=r"X is uint8 \(8, 8, 3, 19\), y has 20 labels"):
        svhn.read(tmp_path / "bad.mat")


MATRICES = {
    "bytes": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "one": np.array([[7]], dtype=np.uint8),
    "doubles": np.array([[0.5], [-3], [np.inf]]), "small": np.array([[1.0, 2.0]]), "empty": np.zeros((0, 3)),
    **{kind: np.array([[1, 2, 3]], dtype=kind) for kind in ("int8", "int16", "uint16", "int32", "uint64", "float32")},
}  # fmt: skip


@pytest.mark.parametrize("compressed", [False, True])
def test_matlab_files_are_read_as_scipy_writes_them(compressed: bool) -> None:
    file = io.BytesIO()
    others = {"text": "abc", "complex": np.array([1j]), "struct": {"a": 1}, "cells": np.array([1, "a"], dtype=object)}
    savemat(file, others | MATRICES, do_compression=compressed)
    read = matlab.read(file.getvalue(), [*others, *MATRICES])
    assert read.keys() == MATRICES.keys()
    for name, array in MATRICES.items():
        assert read[name].dtype == array.dtype and np.array_equal(read[name], array), name


def test_matlab_stores_whole_doubles_in_a_smaller_type() -> None:
    """MATLAB does so and SciPy does not: SVHN's labels are doubles, stored as bytes."""
    file = io.BytesIO()
    savemat(file, {"y": np.array([[1.0], [2.0], [10.0]])})
    doubles = struct.pack("<II3d", 9, 24, 1, 2, 10)
    stored = struct.pack("<HH3Bx", 2, 3, 1, 2, 10)
    data = file.getvalue().replace(doubles, stored)
    data = data[:132] + struct.pack("<I", len(data) - 136) + data[136:]
    read = matlab.read(data, ["y"])["y"]
    assert read.dtype == np.float64 and read.tolist() == [[1], [2], [10]]


def test_no_length_in_a_matlab_file_is_believed() -> None:
    file = io.BytesIO()
    savemat(file, {"X": np.zeros((4, 4), np.uint8), "y": np.ones((4, 1))})
    whole = file.getvalue()
    for at in range(128, len(whole) - 3):
        for value in (0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x000F000F, len(whole)):
            with suppress(matlab.NotMatlab):
                matlab.read(whole[:at] + struct.pack("<I", value) + whole[at + 4 :], ["X", "y"])
    bomb = zlib.compress(struct.pack("<II", 14, 64) + bytes(30_000_000))
    tracemalloc.start()
    with pytest.raises(matlab.NotMatlab):
        matlab.read(whole[:128] + struct.pack("<II", 15, len(bomb)) + bomb, ["X"])
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_svhn_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "house.numbers"
    folder.mkdir()
    for split, part in (("train", TRAIN), ("test", TEST)):
        images = np.repeat(PIXELS[part, :, :, None], 3, axis=3).transpose(1, 2, 3, 0)
        savemat(folder / f"{split}_32x32.mat", {"X": images, "y": LABELS[part, None]})
    for path in (folder, folder / "train_32x32.mat"):
        official = load(str(path))
        assert official.name == "house.numbers"
        check(official.train, TRAIN)
        check(official.test, TEST)
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in svhn.find(folder)]
    names = ("train_32x32.mat", "test_32x32.mat")
    remotes = [Remote(f"svhn/{name}", digest, ()) for name, digest in zip(names, digests, strict=True)]
    monkeypatch.setattr(svhn, "_FILES", remotes)
    assert load(str(folder)).name == "SVHN"
    (folder / "test_32x32.mat").unlink()
    assert load(str(folder)).test is None


def test_every_download_is_checked_by_sha256_over_https() -> None:
    archives = [cifar._PARQUET_10, [cifar._ARCHIVE_10, cifar._ARCHIVE_100, idx._EMNIST_ZIP], svhn._FILES]
    remotes = [remote for group in (*archives, idx._MNIST, idx._FASHION, idx._KMNIST) for remote in group]
    for remote in remotes:
        assert re.fullmatch("[0-9a-f]{64}", remote.sha256)
        assert all(url.startswith("https://") for url in remote.urls)
    # As docs/data.md says: SVHN's are the only files without a second mirror or another form of the same images.
    single = {remote.path for remote in remotes if len(remote.urls) == 1}
    assert single == {remote.path for remote in (*svhn._FILES, *cifar._PARQUET_10)}


# --- idx -------------------------------------------------------------------------------------------------------------


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_idx(path: Path, array: np.ndarray) -> None:
    data = idx_bytes(array)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_idx_set(folder: Path, end: str = "", labels: np.ndarray = LABELS) -> None:
    for stem, part in (("train", TRAIN), ("t10k", TEST)):
        write_idx(folder / f"{stem}-images-idx3-ubyte{end}", PIXELS[part])
        write_idx(folder / f"{stem}-labels-idx1-ubyte{end}", labels[part])


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("below", [".", "raw", "MNIST/raw"])
def test_idx_folders(tmp_path: Path, end: str, below: str) -> None:
    write_idx_set(tmp_path / "mine" / below, end)
    official = load(str(tmp_path / "mine"))
    assert official.name == "mine"
    check(official.train, TRAIN)
    check(official.test, TEST)


def test_mnist_as_published_is_called_so(shared_data: Path) -> None:
    official = load(str(shared_data / "MNIST"))
    assert official.name == "MNIST" and official.train.classes == tuple("0123456789")
    assert len(official.train) == 60_000 and official.test is not None and len(official.test) == 10_000
    assert official.train.class_counts().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def test_mnist_by_name_is_what_its_folder_holds(shared_data: Path, cache: Path) -> None:
    cache.mkdir()
    (cache / "mnist").symlink_to(shared_data / "MNIST" / "raw")
    named, found = load("mnist"), load(str(shared_data / "MNIST" / "raw"))
    assert named.name == found.name and torch.equal(named.train.images, found.train.images)


def test_damaged_idx_files(tmp_path: Path) -> None:
    write_idx_set(tmp_path)
    images = tmp_path / "train-images-idx3-ubyte"
    whole = images.read_bytes()
    images.write_bytes(whole[:-1])
    assert f"{images}: truncated or damaged" in one_line(tmp_path)
    images.write_bytes(b"\x01" + whole[1:])
    assert "not an idx file" in one_line(tmp_path)
    images.unlink()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(whole)[:-30])
    assert "truncated or damaged" in one_line(tmp_path)
    write_idx_set(tmp_path, labels=np.where(np.arange(len(LABELS)) == 120, 77, LABELS))
    assert "label 77 of test image 20 is out of range: train has labels 0 to 9" in one_line(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    assert "t10k-images-idx3-ubyte has no partner" in one_line(tmp_path)


@pytest.mark.parametrize("shape", [(65535, 65535, 65535), (2**32 - 1,) * 3, (2**31, 2**31, 4), (2**21, 40, 40)])
def test_an_idx_header_that_asks_for_all_memory(tmp_path: Path, shape: tuple[int, ...]) -> None:
    write_idx_set(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(struct.pack(">HBB3I", 0, 8, 3, *shape) + bytes(1000))
    assert f"{path}: " in (message := one_line(tmp_path)) and f"its header says {math.prod(shape):,} bytes" in message


# --- npz -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("images", "labels"), [("x_{}", "y_{}"), ("{}_images", "{}_labels")])
@pytest.mark.parametrize("form", [
    lambda x: x, lambda x: x[..., None], lambda x: x[:, None], lambda x: x / 255.0, lambda x: x.astype(np.float64),
    lambda x: (x / 255.0).astype(np.float32), lambda x: x.astype(np.int64), lambda x: x.astype(np.uint16) * 257,
])  # fmt: skip
def test_npz_of_keras_and_medmnist(
    tmp_path: Path, images: str, labels: str, form: Callable[[np.ndarray], np.ndarray]
) -> None:
    arrays = {}
    for split, part in (("train", TRAIN), ("val", slice(200, 250)), ("test", TEST)):
        arrays |= {images.format(split): form(PIXELS[part]), labels.format(split): LABELS[part][:, None]}
    np.savez_compressed(tmp_path / "mine.npz", **arrays)
    official = load(str(tmp_path / "mine.npz"))
    check(official.train, TRAIN)
    check(official.val, slice(200, 250))
    check(official.test, TEST)
    assert official.name == "mine"


@pytest.mark.parametrize(("form", "range_"), [
    (lambda x: x.astype(np.uint16), "uint16 with a largest value of 255, read as 0 (black) to 65535"),
    (lambda x: x.astype(np.uint16) * 16, "uint16 with a largest value of 4080, read as 0 (black) to 65535"),
    (lambda x: (x > 100).astype(np.uint8), "uint8 with a largest value of 1, read as 0 (black) to 255"),
    (lambda x: x // 16, "uint8 with a largest value of 15, read as 0 (black) to 255"),
    (lambda x: x / 16.0, "float64 with a largest value of 15.9375, read as 0 (black) to 255"),
    (lambda x: (x / 1020).astype(np.float32), "float32 with a largest value of 0.25, read as 0 (black) to 1"),
    (lambda x: x > 100, None), (lambda x: x // 2 + 1, None), (lambda x: x.astype(np.uint16) * 129, None),
])  # fmt: skip
def test_pixels_that_leave_most_of_their_range_unused_are_said(
    tmp_path: Path, form: Callable[[np.ndarray], np.ndarray], range_: str | None
) -> None:
    pixels = form(PIXELS[TRAIN])
    np.savez(tmp_path / "x.npz", x_train=pixels, y_train=LABELS[TRAIN], x_test=PIXELS[TEST], y_test=LABELS[TEST])
    given.register((pixels, LABELS[TRAIN]), "own:dark")
    for source, what in ((str(tmp_path / "x.npz"), "x_train of x.npz"), ("own:dark", "data, train images")):
        notes = load(source).notes
        assert notes == () if range_ is None else notes[0].startswith(f"{what} are {range_}"), notes


def test_npz_names_as_labels_and_colour(tmp_path: Path) -> None:
    names = np.where(LABELS[TRAIN] % 2, "odd", "even")
    np.savez(tmp_path / "x.npz", images=np.repeat(PIXELS[TRAIN][..., None], 3, axis=3), labels=names)
    official = load(str(tmp_path / "x.npz"))
    assert official.train.classes == ("even", "odd") and official.train.channels == 3
    assert official.train.labels.tolist() == (LABELS[TRAIN] % 2).tolist()


@pytest.mark.parametrize(("arrays", "message"), [
    ({"a": PIXELS}, "holds a: expected x_train and y_train"),
    ({"images": PIXELS, "labels": LABELS[:5]}, "1,797 train images but 5 labels"),
    ({"images": PIXELS, "labels": LABELS - 1}, "label -1 of train image 0 is out of range"),
    ({"images": PIXELS, "labels": LABELS * 2}, "no training image has label 1"),
    ({"images": PIXELS, "labels": np.eye(10)[LABELS]}, "expected one label per image"),
    ({"images": PIXELS, "labels": LABELS + 0.5}, "expected whole numbers or names"),
    ({"images": PIXELS.reshape(1797, 64), "labels": LABELS}, "have shape (1797, 64)"),
    ({"images": PIXELS / 64 - 2, "labels": LABELS}, "hold numbers from -2 to 1.98438"),
    ({"images": PIXELS.astype(int) * 300, "labels": LABELS}, "whole numbers from 0 to 76500"),
    ({"images": np.where(PIXELS > 9, np.nan, 0.0), "labels": LABELS}, "hold numbers from nan to nan"),
    ({"images": PIXELS, "labels": LABELS * 0}, "holds 1 class ('0')"),
    ({"images": PIXELS.astype(object), "labels": LABELS}, "not an .npz file of plain arrays"),
])  # fmt: skip
def test_npz_mistakes(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "x.npz", allow_pickle=True, **arrays)
    assert message in one_line(tmp_path / "x.npz")


def test_labels_that_no_memory_could_count_to(tmp_path: Path) -> None:
    for labels, message in (
        (np.where(LABELS == 9, 2**45, LABELS), "labels run to 35184372088832, but no training image has label 9"),
        (LABELS * 0 - 1, "label -1 of train image 0 is out of range"),
    ):
        np.savez(tmp_path / "x.npz", images=PIXELS, labels=labels)
        assert message in one_line(tmp_path / "x.npz")


def test_npz_splits_are_known_in_every_spelling_and_what_is_not_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    parts = {"Training": TRAIN, "eval": slice(200, 250), "holdout": TEST}
    arrays = {f"X_{split}": PIXELS[part] for split, part in parts.items()}
    arrays |= {f"y_{split}": LABELS[part] for split, part in parts.items()}
    np.savez(path, **arrays, x_extra=PIXELS, images=PIXELS, labels=LABELS, about=np.array("digits"))
    official = load(str(path))
    assert [len(official.train), len(official.val), len(official.test)] == [100, 50, len(LABELS[TEST])]
    left = "about, images, labels and x_extra"
    assert official.notes == (f"ignored {left} in x.npz: no images with labels of train, val or test",)
    np.savez(path, x_train=PIXELS, y_train=LABELS, x_test=PIXELS[:9])
    assert load(str(path)).test is None and "ignored x_test in" in load(str(path)).notes[0]
    np.savez(path, x_train=PIXELS, y_train=LABELS, train_images=PIXELS[:9], train_labels=LABELS[:9])
    assert "holds images of train more than once (train_images and x_train): leave one of them" in one_line(path)


def npz_with(path: Path, **members: bytes) -> None:
    """An archive of these members beside ten images of their own and their labels."""
    arrays = {"x_train": npy(PIXELS[:10]), "y_train": npy(LABELS[:10])} | members
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in arrays.items():
            archive.writestr(f"{name}.npy", data)


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npy_of(header: str, body: bytes = b"") -> bytes:
    text = f"{header}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + body


def npy_header(kind: str, shape: str) -> str:
    return f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}}}"


@pytest.mark.parametrize(("labels", "message"), [
    (b"plain bytes", "y_train is not an array"),
    (b"", "y_train is not an array"),
    (npy_of(npy_header("<U1", "(2,)"), struct.pack("<II", 97, 0xFFFFFFFF)), "not text"),  # no character has this number
    (npy_of(npy_header("<U1", "(2,)"), struct.pack("<II", 97, 0xD800)), "not text"),  # half of a pair
    (npy_of(npy_header(">U1", "(2,)"), struct.pack(">II", 97, 0x110000)), "not text"),
    (npy_of(npy_header("<U0", "(1000000000000,)")), "values of <U0"),
    (npy_of(npy_header("<i8", "(10, ")), "not an .npz file of plain arrays"),
    (npy_of(npy_header("<i8", "(-1,)")), "not an .npz file of plain arrays"),
    (npy_of("{'descr': '''"), "not an .npz file of plain arrays"),
    (npy_of("(" * 5000), "not an .npz file of plain arrays"),
    (npy(np.full(10, 2**64 - 1, np.uint64)), "the number 18446744073709551615"),
    (npy(LABELS[:10].astype("M8[s]")), "values of datetime64"),
    (npy(np.zeros(10, [("a", "i4")])), "expected whole numbers or names"),
    (npy(np.array(3)), "have shape ()"),
], ids=range(14))  # fmt: skip
def test_members_of_an_npz_that_are_no_labels_are_one_line(tmp_path: Path, labels: bytes, message: str) -> None:
    npz_with(tmp_path / "x.npz", y_train=labels)
    assert message in (said := one_line(tmp_path / "x.npz")) and str(tmp_path / "x.npz") in said


def test_an_npz_whose_header_asks_for_all_memory(tmp_path: Path) -> None:
    for shape in ((2**46, 28, 28), (2**62, 28, 28), (2**80, 1)):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            for name in ("images.npy", "labels.npy"):
                archive.writestr(name, header.getvalue())
        assert "truncated, or not an .npz file" in one_line(tmp_path / "x.npz")


def test_an_encrypted_npz_and_an_array_that_is_no_archive(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=PIXELS, labels=LABELS)
    data = bytearray((tmp_path / "x.npz").read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + flags] |= 1  # what marks a member as encrypted
            at = data.find(mark, at + 1)
    (tmp_path / "x.npz").write_bytes(data)
    assert "not an .npz file of plain arrays (File 'images.npy' is encrypted" in one_line(tmp_path / "x.npz")
    with (tmp_path / "x.npz").open("wb") as file:
        np.save(file, PIXELS)
    assert "not an .npz file of plain arrays" in one_line(tmp_path / "x.npz")


def test_a_truncated_npz(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", images=PIXELS, labels=LABELS)
    whole = (tmp_path / "x.npz").read_bytes()
    for end in (0, 10, len(whole) // 2):
        (tmp_path / "x.npz").write_bytes(whole[:end])
        assert "truncated, or not an .npz file" in one_line(tmp_path / "x.npz")


# --- CIFAR -----------------------------------------------------------------------------------------------------------

ROWS = np.random.default_rng(0).integers(0, 256, (60, 3072), dtype=np.uint8)
ROW_LABELS = [int(label) for label in LABELS[:60]]
NAMES = tuple("abcdefghij")


def cifar10_files(binary: bool) -> dict[str, bytes]:
    parts = {"data_batch_1": slice(0, 20), "data_batch_2": slice(20, 40), "test_batch": slice(40, 60)}
    if binary:
        records = {
            f"{name}.bin": b"".join(bytes([ROW_LABELS[i]]) + ROWS[i].tobytes() for i in range(part.start, part.stop))
            for name, part in parts.items()
        }
        return records | {"batches.meta.txt": "\n".join(NAMES).encode() + b"\n\n"}
    batches = {
        name: pickle.dumps({b"data": ROWS[part], b"labels": ROW_LABELS[part], b"batch_label": b"x"}, protocol=2)
        for name, part in parts.items()
    }
    return batches | {"batches.meta": pickle.dumps({"label_names": list(NAMES), "num_vis": 3072}, protocol=2)}


def cifar100_files(binary: bool) -> dict[str, bytes]:
    if binary:
        records = {
            name: b"".join(bytes([0, ROW_LABELS[i]]) + ROWS[i].tobytes() for i in range(part.start, part.stop))
            for name, part in {"train.bin": slice(0, 40), "test.bin": slice(40, 60)}.items()
        }
        return records | {"fine_label_names.txt": "\n".join(NAMES).encode()}
    batches = {
        name: pickle.dumps({"data": ROWS[part], "fine_labels": ROW_LABELS[part], "coarse_labels": [0] * 40}, protocol=2)
        for name, part in {"train": slice(0, 40), "test": slice(40, 60)}.items()
    }
    return batches | {"meta": pickle.dumps({"fine_label_names": list(NAMES), "coarse_label_names": ["x"]})}


@pytest.mark.parametrize("files", [cifar10_files, cifar100_files])
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("place", ["folder", "parent", "tar", "TAR"])
def test_cifar_batches(tmp_path: Path, files: Callable[[bool], dict[str, bytes]], binary: bool, place: str) -> None:
    below = {cifar10_files: "cifar-10-batches-", cifar100_files: "cifar-100-"}[files] + (
        "bin"
        if binary and files is cifar10_files
        else "binary"
        if binary
        else "py"
        if files is cifar10_files
        else "python"
    )
    folder = tmp_path / "mine" / below
    folder.mkdir(parents=True)
    for name, data in files(binary).items():
        (folder / name).write_bytes(data)
    archives = {"tar": tmp_path / "mine.tar.gz", "TAR": tmp_path / "mine.TAR.GZ"}
    path = (archives | {"folder": folder, "parent": tmp_path / "mine"})[place]
    if place in archives:
        with tarfile.open(path, "w:gz") as archive:
            archive.add(folder, below)
    official = load(str(path))
    assert official.train.classes == NAMES and official.test is not None
    assert np.array_equal(official.train.images.numpy().reshape(40, 3072), ROWS[:40])
    assert np.array_equal(official.test.images.numpy().reshape(20, 3072), ROWS[40:])
    assert official.train.labels.tolist() == ROW_LABELS[:40] and official.test.labels.tolist() == ROW_LABELS[40:]


def test_batches_that_python_2_wrote(tmp_path: Path) -> None:
    """CIFAR's own are such: protocol 2, str for bytes, dtype by its short name."""
    data = ROWS[:2]
    raw = data.tobytes()
    written = (
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02M\x00\x0c\x86"
        b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T" + struct.pack("<I", len(raw)) + raw + b"tbU\x06labels](K\x03K\x01eu."
    )
    batch = cifar.unpickle(written, "data_batch_1")
    assert np.array_equal(batch["data"], data) and batch["labels"] == [3, 1]


class Attack:
    """Runs a command when it is unpickled by the ordinary reader."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.mark}",)


def test_a_pickle_that_would_run_code_is_refused_and_never_runs(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    attack = pickle.dumps({"data": Attack(mark), "labels": [0]})
    files = cifar10_files(binary=False)
    for name in ("data_batch_2", "batches.meta"):
        folder = tmp_path / name
        folder.mkdir()
        for other, data in (files | {name: attack}).items():
            (folder / other).write_bytes(data)
        message = one_line(folder)
        assert f"{folder}/{name}: refused" in message and "system, which could run code" in message
    assert not mark.exists()
    pickle.loads(attack)  # noqa: S301  (the attack is real: the ordinary reader does run it)
    assert mark.exists()


@pytest.mark.parametrize("target", [
    b"cbuiltins\neval\n", b"cbuiltins\ngetattr\n", b"cnumpy\nload\n", b"cnumpy.core.multiarray\nscalar\n",
    b"cthirtytwo.data.cifar\nread\n", b"ccopyreg\n_reconstructor\n", b"c_codecs\ndecode\n",
])  # fmt: skip
def test_no_other_name_is_looked_up(target: bytes) -> None:
    with pytest.raises(UserError, match="could run code"):
        cifar.unpickle(target + b"(tR.", "batch")


@pytest.mark.parametrize("array", [
    np.array([object], dtype=object), np.zeros(3), np.zeros(3, dtype=[("a", "u1")]), np.zeros(3, dtype=complex),
])  # fmt: skip
def test_arrays_of_anything_but_whole_numbers_are_refused(array: np.ndarray) -> None:
    with pytest.raises(UserError, match="refused"):
        cifar.unpickle(pickle.dumps({"data": array}, protocol=2), "batch")


def test_five_bytes_cannot_ask_for_all_memory() -> None:
    tracemalloc.start()
    assert cifar.unpickle(b"\x80\x02}r\xff\xff\xff\x7f.", "batch") == {}  # Python's own reader asks for 64 GB
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def doubled(times: int) -> bytes:
    """A tuple of 2**times elements, ((...), (...)), whose halves are one object each."""
    return b")" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(times))


TEXT = b"X" + struct.pack("<I", 1 << 20) + b"x" * (1 << 20) + b"q\0"
ENCODED = b"c_codecs\nencode\nh\0X\x06\0\0\0latin1\x86R"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("data", "reason"), [
    (b"}" + doubled(60) + b"K\1s.", "a dict whose keys are not text"),
    (b"}(" + doubled(60) + b"K\1u.", "a dict whose keys are not text"),
    (doubled(60) + b".", "no dict"),
    (b"}U\4data" + doubled(60) + b"s.", None),
    (doubled(60) + b"q\x3ch\x3c\x93.", "damaged"),
    (b"cnumpy.core.multiarray\n_reconstruct\n)R(K\1K\1\x85cnumpy\ndtype\n" + doubled(60) + b"\x85R\x89U\1xtb.",
     "an array of something"),
    (TEXT + b"(" + ENCODED * 200_000 + b"l.", "damaged"),
], ids=range(7))  # fmt: skip
def test_the_work_is_bounded_by_the_size_of_the_pickle(data: bytes, reason: str | None) -> None:
    """Python's own reader needs 2**60 steps for the first, and most are as slow once they are compared or shown."""
    if reason is None:
        assert isinstance(cifar.unpickle(b"\x80\x02" + data, "batch")["data"], tuple)
        return
    with pytest.raises(UserError, match=reason):
        cifar.unpickle(b"\x80\x02" + data, "batch")


@pytest.mark.timeout(20)
def test_slow_values_in_place_of_images_labels_and_names_are_one_line(tmp_path: Path) -> None:
    slow = doubled(60)
    files = cifar10_files(binary=False)
    for name, key in (("data_batch_1", b"labels"), ("data_batch_1", b"data"), ("batches.meta", b"label_names")):
        for value in (slow, b"](" + slow + b"e"):
            for other, data in files.items():
                (tmp_path / other).write_bytes(data)
            (tmp_path / name).write_bytes(b"\x80\x02}U%c%s%ss." % (len(key), key, value))
            assert f"{tmp_path / name}: expected" in one_line(tmp_path)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_pickles_of_every_protocol_that_numpy_writes(protocol: int) -> None:
    batch = {"data": ROWS, "labels": ROW_LABELS, "names": ["a", "b", "a"], "more": (1, 2.5, None, True, -(2**70), [])}
    read = cifar.unpickle(pickle.dumps(batch, protocol=protocol), "batch")
    assert np.array_equal(read.pop("data"), ROWS)
    assert read == {key: value for key, value in batch.items() if key != "data"}


def test_a_tar_archive_that_leads_back_is_one_line(tmp_path: Path) -> None:
    first, second = tarfile.TarInfo("data_batch_1"), tarfile.TarInfo("data_batch_2")
    second.size = -512
    back = first.tobuf() + second.tobuf(tarfile.GNU_FORMAT)
    sparse = tarfile.TarInfo("data_batch_1")
    sparse.type, sparse.size = tarfile.GNUTYPE_SPARSE, 0
    header = bytearray(sparse.tobuf(tarfile.GNU_FORMAT))
    header[386:410], header[483:495] = b"%011o\0%011o\0" % (1 << 28, 0), b"%011o\0" % (1 << 28)
    header[148:156] = b"%06o\0 " % sum(bytes(header[:148]) + b" " * 8 + bytes(header[156:512]))
    for blocks, said in ((back, "negative size"), (bytes(header), "no CIFAR batches")):
        (tmp_path / "x.tar").write_bytes(blocks + bytes(1024))
        assert said in one_line(tmp_path / "x.tar")


def test_damaged_batches(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    whole = cifar10_files(binary=False)["data_batch_1"]
    for _ in range(300):
        damaged = bytearray(whole[: generator.integers(0, len(whole) + 1)])
        for position in generator.integers(0, max(1, min(len(damaged), 300)), 3):
            if damaged:
                damaged[position] = generator.integers(0, 256)
        try:
            cifar.unpickle(bytes(damaged), "batch")
        except UserError as error:
            assert "\n" not in str(error)
    for name, data in cifar10_files(binary=True).items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "data_batch_2.bin").write_bytes(b"\0" * 5000)
    assert "data_batch_2.bin: truncated" in one_line(tmp_path)
    (tmp_path / "data_batch_2.bin").write_bytes(b"\x63" * 3073)
    assert "label 99 of image 20 is out of range: 10 classes need labels 0 to 9" in one_line(tmp_path)
    for label, shown in ((2**70, "of 71 bits"), (2**20_000, "of 20001 bits"), (-(2**70), "of 71 bits"), (-1, "-1")):
        python = cifar10_files(binary=False)
        python["data_batch_2"] = pickle.dumps({"data": ROWS[:1], "labels": [label]})
        (tmp_path / "python").mkdir(exist_ok=True)
        for name, data in python.items():
            (tmp_path / "python" / name).write_bytes(data)
        assert f"train: label {shown} of image 20 is out of range: 10 classes" in one_line(tmp_path / "python")
    (tmp_path / "half.tar.gz").write_bytes(gzip.compress(b"x" * 4000)[:20])
    assert "truncated, or not a tar archive" in one_line(tmp_path / "half.tar.gz")


def test_a_missing_batch_is_noted(tmp_path: Path) -> None:
    for name, data in cifar10_files(binary=False).items():
        (tmp_path / name).write_bytes(data)
    assert load(str(tmp_path)).notes == (f"data_batch_3, data_batch_4, data_batch_5 missing from {tmp_path}",)


# --- class folders and files of another layout -----------------------------------------------------------------------


def write_table(path: Path, pictures: bool) -> None:
    """A parquet file of pictures with labels, or of facts about files that lie elsewhere."""
    column = [png(image) for image in PIXELS[:9]] if pictures else [None] * 9
    images = pa.array([{"bytes": each, "path": f"{i}.png"} for i, each in enumerate(column)], PICTURE)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": images, "label": [0, 1, 2] * 3}), path)


def write_class_folders(root: Path, *names: str) -> None:
    for i, name in enumerate(names):
        (root / name).mkdir(parents=True)
        (root / name / "0.png").write_bytes(png(PIXELS[i]))


@pytest.mark.parametrize("folders", [("cat", "dog"), ("train/cat", "train/dog"), ("pictures/cat", "pictures/dog")])
@pytest.mark.parametrize(("names", "files", "remedy"), [
    (["old/export.parquet"], "parquet files with pictures (old/export.parquet)", "give data.source={}, or move that"),
    (["test.parquet"], "parquet files with pictures (test.parquet)", "give data.source={}, or move that file"),
    (["train.parquet", "test.parquet"], "(test.parquet and train.parquet)", "move one of the two elsewhere"),
    (["data_batch_1"], "CIFAR's batches (data_batch_1)", "move one of the two elsewhere"),
    (["cifar-10-batches-bin/data_batch_1.bin"], "(cifar-10-batches-bin/data_batch_1.bin)", "move one of the two"),
    (["train_32x32.mat"], "SVHN's .mat files (train_32x32.mat)", "give data.source={}, or move that file elsewhere"),
    (["raw/train-images-idx3-ubyte", "raw/train-labels-idx1-ubyte.gz"],
     "MNIST's idx files (raw/train-images-idx3-ubyte and raw/train-labels-idx1-ubyte.gz)", "move one of the two"),
])  # fmt: skip
def test_class_folders_and_files_of_another_layout_are_refused(
    tmp_path: Path, folders: tuple[str, ...], names: list[str], files: str, remedy: str
) -> None:
    write_class_folders(tmp_path, *folders)
    for name in names:
        write_table(tmp_path / name, pictures=True)
    message = one_line(tmp_path)
    assert f"{tmp_path} holds class folders ({folders[0]} and {folders[1]}) and " in message and files in message
    assert remedy.format(tmp_path / names[0]) in message


@pytest.mark.parametrize("folders", [("cat", "dog"), ("train/cat", "train/dog")])
def test_a_table_without_pictures_beside_class_folders_is_ignored(tmp_path: Path, folders: tuple[str, ...]) -> None:
    write_class_folders(tmp_path, *folders)
    pq.write_table(pa.table({"path": ["cat/0.png"], "weight": [1.0]}), tmp_path / "metadata.parquet")
    write_table(tmp_path / "test.parquet", pictures=False)
    (tmp_path / "labels.csv").write_text("path,weight")
    official = load(str(tmp_path))
    assert official.train.classes == ("cat", "dog")
    assert official.notes == ("ignored files that are no pictures: 2 .parquet and 1 .csv",)
    write_table(tmp_path / "old.parquet", pictures=True)
    assert "and parquet files with pictures (old.parquet): give data.source=" in one_line(tmp_path)
    (tmp_path / "old.parquet").write_bytes(b"PAR1")
    assert "(old.parquet)" in one_line(tmp_path)


def test_a_table_without_pictures_does_not_hide_what_the_pictures_lack(tmp_path: Path) -> None:
    write_class_folders(tmp_path, "images")
    write_table(tmp_path / "metadata.parquet", pictures=False)
    assert "holds 1 class folder ('images')" in one_line(tmp_path)


def test_pictures_that_are_no_classes_are_named_beside_other_files(tmp_path: Path) -> None:
    for root in (tmp_path / "parquet", tmp_path / "idx"):
        write_class_folders(root, "assets")
        (root / "logo.png").write_bytes(png(PIXELS[0]))
    write_table(tmp_path / "parquet" / "train.parquet", pictures=True)
    write_idx_set(tmp_path / "idx")
    note = "left out 2 pictures beside {}: assets/0.png and logo.png"
    assert load(str(tmp_path / "parquet")).notes[-1] == note.format("parquet files with pictures")
    assert scan(tmp_path / "parquet").notes[-1] == note.format("parquet files with pictures")
    assert load(str(tmp_path / "idx")).notes == (note.format("MNIST's idx files"),)


# --- what is none of these -------------------------------------------------------------------------------------------


def test_paths_that_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert one_line(tmp_path / "none") == f"{tmp_path / 'none'}: no such file or folder: restore it, or name another"
    (tmp_path / "notes.txt").write_text("hello")
    assert "a file of unknown layout. Expected class folders" in one_line(tmp_path / "notes.txt")
    assert "holds notes.txt. Expected class folders" in one_line(tmp_path)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a", "b")
    assert "a file of unknown layout" in one_line(tmp_path / "x.zip")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert one_line("~/none") == f"{tmp_path / 'none'}: no such file or folder: restore it, or name another"
    assert "no such home folder" in one_line("~nobody-of-that-name/x")


def test_a_file_that_opens_and_cannot_be_read_is_named(tmp_path: Path) -> None:
    if not Path("/proc/self/mem").exists():
        pytest.skip("needs a file that opens and cannot be read")
    write_class_folders(tmp_path, "cat", "dog")
    (tmp_path / "cat" / "odd").symlink_to("/proc/self/mem")
    assert one_line(tmp_path).startswith(f"{tmp_path}/cat/odd: cannot be read (")


def test_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    np.savez(tmp_path / "x.npz", images=PIXELS[TRAIN], labels=LABELS[TRAIN])
    check(load("~/x.npz").train, TRAIN)
