"""Street View House Numbers, the cropped digits (Netzer et al., 2011), from their MATLAB files."""

from pathlib import Path

import numpy as np
import torch

from thirtytwo.data import matlab, sources
from thirtytwo.data.fetch import Remote, fetch
from thirtytwo.data.imageset import ImageSet, Official
from thirtytwo.errors import UserError

_FILES = [
    Remote(f"svhn/{name}", digest, (f"https://ufldl.stanford.edu/housenumbers/{name}",))
    for name, digest in (
        ("train_32x32.mat", "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8"),
        ("test_32x32.mat", "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b"),
    )
]


@sources.register
def svhn() -> Official:
    """SVHN: 99,289 house-number digits from street photographs, RGB 32x32 (Netzer et al., 2011). 246 MB."""
    train, test = fetch("SVHN", _FILES)
    return Official("SVHN", read(train), test=read(test))


def find(root: Path) -> list[Path]:
    """``train_32x32.mat`` and, if present, ``test_32x32.mat`` in ``root``; [] without the first."""
    files = [root / remote.here.name for remote in _FILES]
    return [path for path in files if path.is_file()] if files[0].is_file() else []


def read_folder(root: Path) -> Official:
    """Read the files that `find` finds. The authors' own, recognised by their digest, are called SVHN."""
    files = find(root)
    published = len(files) == 2 and all(remote.matches(path) for remote, path in zip(_FILES, files, strict=True))
    train, *test = map(read, files)
    return Official("SVHN" if published else root.resolve().name, train, test=test[0] if test else None)


def read(path: Path) -> ImageSet:
    """A file's ``X`` (32, 32, 3, N) and ``y`` (N, 1), where 10 stands for the digit 0. Raises UserError if damaged."""
    try:
        content = matlab.read(path.read_bytes(), ("X", "y"))
        if missing := {"X", "y"} - content.keys():
            raise matlab.NotMatlab(f"it lacks {' and '.join(sorted(missing))}")
        images, labels = content["X"], content["y"].reshape(-1)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[2:] != (3, len(labels)) or not images.size:
            raise matlab.NotMatlab(f"X is {images.dtype} {images.shape}, y has {len(labels)} labels")
    except matlab.NotMatlab as error:
        raise UserError(f"{path}: truncated, or not a file of X and y ({error}): fetch it again") from None
    wrong = np.flatnonzero(~np.isin(labels, np.arange(11)))
    if len(wrong):
        raise UserError(f"{path}: label {labels[wrong[0]]:g} of image {wrong[0]} is out of range: expected 1 to 10")
    upright = torch.from_numpy(np.ascontiguousarray(images.transpose(3, 2, 0, 1)))
    return ImageSet.of(upright, torch.from_numpy(labels.astype(np.int64) % 10), tuple("0123456789"))
