"""Arrays as .npz files, read with checks."""

import io
import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from thirtytwo.errors import UserError

ARRAY_ERRORS = (
    OSError, ValueError, EOFError, LookupError, AttributeError, TypeError, OverflowError, SyntaxError, MemoryError,
    RuntimeError, struct.error, zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError,
)  # fmt: skip
"""What reading a damaged .npz file raises. RuntimeError is zipfile's for an encrypted archive."""
KINDS = {"float": "f", "int": "iu", "text": "U"}
OWN = {"float": np.float32, "int": np.int64}
"""The type that each kind is read as: torch and Matplotlib take no other byte orders or long doubles."""


def pack_arrays(arrays: dict[str, np.ndarray]) -> bytes:
    """Arrays as the bytes of an .npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def read_arrays(path: Path, expected: Mapping[str, str], *, optional: Collection[str] = ()) -> dict[str, np.ndarray]:
    """The ``expected`` arrays of an .npz file, by name. Pickled arrays are rejected.

    Args:
        path: the file.
        expected: for each array its kind (float, int, uint8 or text) and the names or lengths of its axes, such as
            ``"float N K"``. Axes of the same name have the same length in all arrays. Floats come as float32, integers
            as int64.
        optional: which of them may be missing.

    Raises UserError naming the file when it is damaged, lacks an array, or has one of another kind or shape.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in expected if name in file.files}
        if missing := [name for name in expected if name not in arrays and name not in optional]:
            raise ValueError(f"it lacks {', '.join(missing)}")
        lengths: dict[str, int] = {}
        return {name: _checked(name, array, expected[name], lengths) for name, array in arrays.items()}
    except ARRAY_ERRORS as error:
        raise damaged(path, error) from None


def is_text(array: np.ndarray) -> bool:
    """Whether each number in an array of kind U is a character that UTF-8 can write.

    NumPy takes any number from a file, and fails in ways of its own, SystemError among them, where a value is used.
    """
    codes = np.frombuffer(array.astype(array.dtype.newbyteorder("=")).tobytes(), np.uint32)
    return not ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes <= 0xDFFF))).any()


def damaged(path: Path, reason: object) -> UserError:
    """The error for a run's file of arrays that cannot be used."""
    remedy = "restore it, or delete it: what it shows is then left out"
    if path.name == "test.npz":
        remedy = "restore it, or let `thirtytwo test` write it again, which is another look"
    return UserError(f"{path}: damaged ({' '.join(str(reason).split()) or type(reason).__name__}): {remedy}")


def _checked(name: str, array: object, expected: str, lengths: dict[str, int]) -> np.ndarray:
    """The array in its kind's own type. Raises ValueError for another kind or shape, and numbers that are not finite.

    ``lengths`` are those of named axes so far; new ones are added.
    """
    kind, *axes = expected.split()
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} is not an array")
    if not (array.dtype == np.uint8 if kind == "uint8" else array.dtype.kind in KINDS[kind]):
        raise ValueError(f"{name} holds {array.dtype}, not {kind}")
    if array.ndim != len(axes):
        raise ValueError(f"{name} has shape {array.shape}, not ({', '.join(axes)})")
    for axis, length in zip(axes, array.shape, strict=True):
        if length != (int(axis) if axis.isdigit() else lengths.setdefault(axis, length)):
            raise ValueError(f"{name} has shape {array.shape}, not ({', '.join(axes)})")
    if kind == "text" and not is_text(array):
        raise ValueError(f"{name} holds numbers that are no characters")
    if kind not in OWN:
        return array
    with np.errstate(over="ignore"):
        own: np.ndarray = array.astype(OWN[kind], copy=False)
    if not np.isfinite(own).all():
        raise ValueError(f"{name} holds numbers that are not finite")
    return own
