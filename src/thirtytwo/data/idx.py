"""MNIST's idx files, by name or by path: MNIST, Fashion-MNIST, KMNIST and EMNIST all use them."""

import gzip
import math
import string
import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import IO, Literal

import numpy as np
import torch

from thirtytwo.data import sources
from thirtytwo.data.arrays import official
from thirtytwo.data.fetch import Remote, fetch
from thirtytwo.data.imageset import ImageSet, Official
from thirtytwo.errors import UserError

_STEMS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_DIGITS = tuple(string.digits)
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_KUZUSHIJI = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
# 15 letters whose two cases look alike are one class in EMNIST's merged sets (Cohen et al., 2017).
_MERGED = tuple(string.digits + string.ascii_uppercase + "abdefghnqrt")
_EMNIST = {
    "balanced": _MERGED,
    "byclass": tuple(string.digits + string.ascii_uppercase + string.ascii_lowercase),
    "bymerge": _MERGED,
    "digits": _DIGITS,
    "letters": tuple(string.ascii_uppercase),
    "mnist": _DIGITS,
}

_LARGEST = 1 << 32
"""Most bytes of data that a header may announce; EMNIST's byclass, the largest set, takes 547 MB."""


def _remotes(
    name: str, digests: tuple[str, ...], mirrors: tuple[str, ...], content: bool = False
) -> tuple[Remote, ...]:
    return tuple(
        Remote(f"{name}/{stem}.gz", digest, tuple(f"{mirror}{stem}.gz" for mirror in mirrors), content)
        for stem, digest in zip(_STEMS, digests, strict=True)
    )


# MNIST's digests are those of the unzipped files, on which the mirrors agree; each has zipped them in its own way.
_MNIST = _remotes(
    "mnist",
    (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    content=True,
)
_FASHION = _remotes(
    "fashion-mnist",
    (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
    (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "https://storage.googleapis.com/cvdf-datasets/fashion-mnist/",
    ),
)
_KMNIST = _remotes(
    "kmnist",
    (
        "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    ),
    # Not the authors' first host, storage.googleapis.com/kuzushiji-mnist: they left it before they repaired the set.
    (
        "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        "https://huggingface.co/datasets/tanganke/kmnist/resolve/53810959241e8f35890445245170c8cec0672f81/raw/",
    ),
)
_FAMILY = {"MNIST": (_MNIST, _DIGITS), "Fashion-MNIST": (_FASHION, _CLOTHES), "KMNIST": (_KMNIST, _KUZUSHIJI)}
_EMNIST_ZIP = Remote(
    "emnist/gzip.zip",
    "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
    (
        "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
        "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/gzip.zip",
    ),
)


@sources.register
def mnist() -> Official:
    """MNIST: 70,000 handwritten digits, grey 28x28 (LeCun et al., 1998). 12 MB."""
    return _published("MNIST")


@sources.register_as("fashion-mnist")
def fashion_mnist() -> Official:
    """Fashion-MNIST: 70,000 articles of clothing in 10 classes, grey 28x28 (Xiao et al., 2017). 31 MB."""
    return _published("Fashion-MNIST")


@sources.register
def kmnist() -> Official:
    """KMNIST: 70,000 cursive Japanese characters in 10 classes, grey 28x28 (Clanuwat et al., 2018). 21 MB."""
    return _published("KMNIST")


@sources.register
def emnist(split: Literal["balanced", "byclass", "bymerge", "digits", "letters", "mnist"] = "balanced") -> Official:
    """EMNIST: handwritten letters and digits, grey 28x28, in one of six sets (Cohen et al., 2017). 562 MB."""
    (archive,) = fetch("EMNIST", [_EMNIST_ZIP])
    with zipfile.ZipFile(archive) as members:

        def member(stem: str) -> np.ndarray:
            name = f"emnist-{split}-{stem.replace('t10k', 'test')}.gz"
            with members.open(f"gzip/{name}") as zipped, gzip.open(zipped) as file:
                return parse(file, name)

        return emnist_official(split, [member(stem) for stem in _STEMS])


def emnist_official(split: str, arrays: list[np.ndarray]) -> Official:
    """EMNIST's images are upright once rows and columns are swapped; the letters' labels start at 1."""
    train_images, train_labels, test_images, test_labels = arrays
    shift = 1 if split == "letters" else 0

    def image_set(images: np.ndarray, labels: np.ndarray) -> ImageSet:
        upright = np.ascontiguousarray(images.transpose(0, 2, 1))[:, None]
        return ImageSet.of(torch.from_numpy(upright), torch.from_numpy(labels.astype(np.int64) - shift), _EMNIST[split])

    test = image_set(test_images, test_labels)
    return Official(f"EMNIST {split}", image_set(train_images, train_labels), test=test)


def find(root: Path) -> list[Path]:
    """The files, zipped or not, in ``root``, ``root/raw`` or ``root/MNIST/raw``; [] unless train's two are there."""
    for folder in (root, root / "raw", root / "MNIST" / "raw"):
        files = [path for stem in _STEMS for path in _spellings(folder, stem) if path.is_file()]
        if len(files) >= 2 and all(path.name.startswith("train") for path in files[:2]):
            return files
    return []


def read(root: Path) -> Official:
    """Read the idx files that `find` finds. Those with the published content get their published name.

    Raises UserError for a file that is missing, truncated or not an idx file, and for labels out of range.
    """
    files = find(root)
    if len(files) == 3:
        raise UserError(
            f"{files[2].parent}: {files[2].name} has no partner: expected images and labels of the test split"
        )
    plain = _assembled(root.resolve().name, files)
    for name, (remotes, classes) in _FAMILY.items():
        if len(files) == 4 and all(remote.matches(path) for remote, path in zip(remotes, files, strict=True)):
            return _named(plain, name, classes)
    return plain


def parse_file(path: Path) -> np.ndarray:
    """An idx file, zipped if it ends in .gz. Raises UserError when it is damaged."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        return parse(file, str(path))


def parse(file: IO[bytes] | gzip.GzipFile, name: str) -> np.ndarray:
    """The uint8 array of an idx file: two zero bytes, type, number of axes, each axis as big-endian uint32, data.

    Raises UserError for anything else. It uses no more memory than the file has data.
    """
    try:
        zeros, kind, axes = struct.unpack(">HBB", file.read(4))
        shape = struct.unpack(f">{axes}I", file.read(4 * axes))
        if zeros or kind != 8 or axes not in (1, 3):
            raise UserError(f"{name}: not an idx file of bytes with 1 or 3 axes")
        size = math.prod(shape)
        if size > _LARGEST:
            raise UserError(f"{name}: damaged: its header says {size:,} bytes of data: fetch it again")
        data = bytearray()
        while len(data) <= size and (block := file.read(min(1 << 20, size + 1 - len(data)))):
            data += block
    except (struct.error, OSError, EOFError, zlib.error) as error:
        raise UserError(f"{name}: truncated or damaged ({error}): fetch it again") from None
    if len(data) != size:
        raise UserError(f"{name}: truncated or damaged: its header says {size:,} bytes of data: fetch it again")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _published(name: str) -> Official:
    remotes, classes = _FAMILY[name]
    return _named(_assembled(name, fetch(name, remotes)), name, classes)


def _assembled(name: str, files: list[Path]) -> Official:
    """Train's images and labels, and test's if there are four files; the classes are named after their numbers."""
    arrays = [parse_file(path) for path in files]
    splits = ("train", "test")[: len(files) // 2]
    images = {split: _with_channel(arrays[2 * i], files[2 * i]) for i, split in enumerate(splits)}
    labels = {split: _labels(arrays[2 * i + 1], files[2 * i + 1]) for i, split in enumerate(splits)}
    return official(name, str(files[0].parent), images, labels)


def _named(official: Official, name: str, classes: tuple[str, ...]) -> Official:
    test = None if official.test is None else replace(official.test, classes=classes)
    return Official(name, replace(official.train, classes=classes), test=test)


def _spellings(folder: Path, stem: str) -> list[Path]:
    """``train-images-idx3-ubyte`` is also written with a dot, ``train-images.idx3-ubyte``, and zipped."""
    dotted = stem.replace("-idx", ".idx")
    found = [folder / f"{name}{end}" for name in (stem, dotted) for end in ("", ".gz")]
    return [path for path in found if path.is_file()][:1]


def _with_channel(images: np.ndarray, path: Path) -> np.ndarray:
    if images.ndim != 3 or images.size == 0:
        raise UserError(f"{path}: holds an array of shape {images.shape}: expected images (N, H, W)")
    return images[:, None]


def _labels(labels: np.ndarray, path: Path) -> np.ndarray:
    if labels.ndim != 1:
        raise UserError(f"{path}: holds an array of shape {labels.shape}: expected labels (N,)")
    return labels.astype(np.int64)
