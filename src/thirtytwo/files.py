"""Files written whole or not at all, their hashes, and arrays and JSON read with checks."""

import hashlib
import io
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from thirtytwo.errors import UserError


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, sync it and rename it: readers see the old file or the new one.

    Raises UserError when the disk is full or the folder is not to be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written ({error.strerror}): make room or change its permissions") from None


def sha256(data: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(data).hexdigest()


def pack_arrays(arrays: dict[str, np.ndarray]) -> bytes:
    """Arrays as the bytes of an .npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def read_arrays(path: Path, *names: str) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, which must have ``names``. Pickled arrays are refused; UserError for a bad file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        missing = [name for name in names if name not in arrays]
        if missing:
            raise ValueError(f"it lacks {', '.join(missing)}")
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: cannot be read as predictions ({error}): score the run again") from None
    return arrays
