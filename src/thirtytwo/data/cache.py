"""The cache folder, with decoded images and features: an .npy and a .json file per set, trusted if the hash matches."""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from thirtytwo import memory
from thirtytwo.errors import UserError
from thirtytwo.paths import as_path

MEMORY_SHARE = 0.25
"""Sets larger than this share of the currently free memory stay on disk, memory-mapped."""


def cache_dir() -> Path:
    """Where downloads and decoded images are kept: ``$THIRTYTWO_CACHE``, else the platform's cache folder."""
    if folder := os.environ.get("THIRTYTWO_CACHE"):
        return as_path(folder)
    import platformdirs

    return Path(platformdirs.user_cache_dir("thirtytwo", appauthor=False))


def cache_size() -> int:
    """Bytes of decoded images and features in the cache folder. Each new setting adds more; nothing deletes them."""
    return sum(path.stat().st_size for path in _decoded_dir().glob("*") if path.is_file())


def default_memory_limit() -> int:
    """Bytes that a set may take before it is memory-mapped: `MEMORY_SHARE` of the available memory."""
    return int(memory.free() * MEMORY_SHARE)


def get(key: str, make: Callable[[str], None], memory_limit: int | None = None) -> tuple[Tensor, dict[str, Any]]:
    """What is stored under ``key``, as `read` returns it; if it is absent or damaged, ``make(key)`` stores it first.

    Processes that need the same set wait for the one that makes it. Sets above ``memory_limit`` bytes, by default
    `default_memory_limit`, are memory-mapped. Raises UserError when the cache folder cannot be written.
    """
    limit = default_memory_limit() if memory_limit is None else memory_limit
    kept = read(key, limit)
    if kept is None:
        with _alone(key):
            kept = read(key, limit)
            if kept is None:
                make(key)
                kept = read(key, limit)
    if kept is None:
        raise UserError(f"{cache_dir()}: what was just written there cannot be read back: check this disk")
    return kept


def store(
    key: str, shape: tuple[int, ...], blocks: Iterable[np.ndarray], describe: Callable[[], dict[str, Any]]
) -> None:
    """Write blocks of uint8 images, one after the other, under ``key``; ``shape[0]`` is their maximum number.

    ``describe`` is called after the last block; what it returns is stored beside the images. Both files appear
    complete or not at all, the description last. Raises UserError when the cache folder cannot be written.
    """
    folder = _decoded_dir()
    temporary = folder / f".{key}.{os.getpid()}.npy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        with temporary.open("wb") as file:
            start = _write_header(file, shape)
            digest, count = hashlib.blake2b(digest_size=32), 0
            for block in blocks:
                block = np.ascontiguousarray(block)
                file.write(block.data)
                digest.update(block.data)
                count += len(block)
            file.seek(0)
            end = _write_header(file, (count, *shape[1:]))
            assert end == start, "NumPy pads the header so that the first axis can be corrected in place"
        description = {"shape": [count, *shape[1:]], "blake2b": digest.hexdigest(), **describe()}
        temporary.replace(folder / f"{key}.npy")
        temporary.write_text(json.dumps(description), encoding="utf-8")
        temporary.replace(folder / f"{key}.json")
    except OSError as error:
        raise _unwritable(error) from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def read(key: str, memory_limit: int) -> tuple[Tensor, dict[str, Any]] | None:
    """The images (N, C, H, W) and the description stored under ``key``; None if they are absent or damaged.

    A set of more than ``memory_limit`` bytes is memory-mapped, copy-on-write. A damaged set is reported on stderr.
    """
    path = _decoded_dir() / f"{key}.npy"
    try:
        description = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        mapped = path.stat().st_size > memory_limit
        images = np.load(path, mmap_mode="c" if mapped else None, allow_pickle=False)
        if images.dtype != np.uint8 or list(images.shape) != description["shape"]:
            raise ValueError("another shape")
        digest = hashlib.blake2b(digest_size=32)
        for start in range(0, len(images), 4096):
            digest.update(np.ascontiguousarray(images[start : start + 4096]).data)
        if digest.hexdigest() != description["blake2b"]:
            raise ValueError("another hash")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        print(f"{path}: damaged cache, computing it again", file=sys.stderr)
        with suppress(OSError):
            path.with_suffix(".json").unlink()
        return None
    return torch.from_numpy(images), description


def gather(images: Tensor, indices: np.ndarray, memory_limit: int | None = None) -> Tensor:
    """``images[indices]``: in memory, or, above ``memory_limit`` bytes, in a memory-mapped file of the cache."""
    limit = default_memory_limit() if memory_limit is None else memory_limit
    shape = (len(indices), *images.shape[1:])
    if np.prod(shape, dtype=np.int64) <= limit:
        return images[torch.from_numpy(indices)]
    digest = hashlib.blake2b(indices.tobytes(), digest_size=16)
    for block in torch.split(images, 4096):
        digest.update(np.ascontiguousarray(block.numpy()).data)

    def make(key: str) -> None:
        source = images.numpy()
        store(key, shape, (source[indices[start : start + 4096]] for start in range(0, len(indices), 4096)), dict)

    return get(f"split-{digest.hexdigest()}", make, limit)[0]


def _decoded_dir() -> Path:
    return cache_dir() / "decoded"


@contextmanager
def _alone(key: str) -> Iterator[None]:
    """No other process makes what is kept under ``key`` within this context."""
    try:
        _decoded_dir().mkdir(parents=True, exist_ok=True)
        file = _decoded_dir() / f".{key}.lock"
        lock = FileLock(file)
        lock.acquire()
    except OSError as error:
        raise _unwritable(error) from None
    try:
        yield
    finally:
        with suppress(OSError):  # later processes find what was made; at worst it is made twice
            file.unlink()
        lock.release()


def _unwritable(error: OSError) -> UserError:
    return UserError(
        f"{_decoded_dir()}: cannot be written ({error.strerror}): set THIRTYTWO_CACHE to a folder with free space"
    )


def _sweep(folder: Path) -> None:
    """Delete what killed processes left behind: temporary files and locks untouched for a day."""
    for left in folder.glob(".*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > 86_400:
                left.unlink()


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> int:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.tell()
