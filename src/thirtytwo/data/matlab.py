"""A reader for the arrays of numbers in MATLAB's level 5 .mat files, compressed or not.

SciPy's reader trusts the lengths in the file, and ends the process on some damaged ones. Here every length is checked
against the bytes that are there, and what is decompressed against the length that it announces.
"""

import math
import struct
import zlib
from collections.abc import Collection, Iterator

import numpy as np

_TYPES = {
    1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8",
}  # fmt: skip
"""How the numbers of an element are stored, by its type."""
_MATRIX, _COMPRESSED = 14, 15
_CLASSES = {
    6: "<f8", 7: "<f4", 8: "i1", 9: "u1", 10: "<i2", 11: "<u2", 12: "<i4", 13: "<u4", 14: "<i8", 15: "<u8",
}  # fmt: skip
"""What the numbers of an array are, by its class. MATLAB stores them in a smaller type where they fit."""


class NotMatlab(Exception):
    """Why a file cannot be read."""


def read(data: bytes, names: Collection[str]) -> dict[str, np.ndarray]:
    """The arrays of these names that a file holds. Raises NotMatlab for a damaged file.

    Arrays of other kinds, such as text, cells or complex numbers, are left out.
    """
    if len(data) < 128 or data[126:128] != b"IM":
        hint = ", save it with -v7" if data[:10] == b"MATLAB 7.3" else ""
        raise NotMatlab(f"not a little-endian MATLAB file of level 5{hint}")
    found: dict[str, np.ndarray] = {}
    for kind, content in _elements(memoryview(data)[128:]):
        if kind == _COMPRESSED:
            kind, content = _decompressed(content)
        if kind == _MATRIX and (array := _array(content, names)):
            found[array[0]] = array[1]
        if len(found) == len(names):
            break
    return found


def _elements(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(type, content) of the elements one after another. Up to four bytes may stand in the tag itself."""
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise NotMatlab("truncated")
        kind, length = struct.unpack_from("<II", data, at)
        if kind >> 16:
            yield kind & 0xFFFF, _cut(data, at + 4, min(kind >> 16, 5))
            at += 8
        else:
            yield kind, _cut(data, at + 8, length)
            at += 8 + length + (0 if kind == _COMPRESSED else -length % 8)


def _cut(data: memoryview, at: int, length: int) -> memoryview:
    if at + length > len(data):
        raise NotMatlab("truncated")
    return data[at : at + length]


def _decompressed(data: memoryview) -> tuple[int, memoryview]:
    """The one element in a zlib stream. No more is decompressed than it announces."""
    stream = zlib.decompressobj()
    try:
        tag = stream.decompress(data, 8)
        kind, length = struct.unpack("<II", tag)
        content = stream.decompress(stream.unconsumed_tail, max(1, length))
        more = stream.decompress(stream.unconsumed_tail, 1)  # the checksum follows the last byte
    except (zlib.error, struct.error) as error:
        raise NotMatlab(f"damaged: {error}") from None
    if more or not stream.eof:
        raise NotMatlab("truncated, or not of the length that it announces")
    return kind, _cut(memoryview(content), 0, length)


def _array(data: memoryview, names: Collection[str]) -> tuple[str, np.ndarray] | None:
    """The name of a matrix element and its numbers; None for another name, or for what is not plain numbers."""
    parts = _elements(data)
    try:
        (_, flags), (_, axes), (_, text) = (next(parts) for _ in range(3))
        name = bytes(text).decode("latin1")
        class_, complex_ = flags[0], flags[1] & 8
        if name not in names or class_ not in _CLASSES or complex_:
            return None
        kind, content = next(parts)
        shape = np.frombuffer(axes, "<i4").tolist()
        numbers = np.frombuffer(content, _TYPES[kind])
    except (RuntimeError, IndexError, KeyError, ValueError):
        raise NotMatlab("damaged") from None
    if min(shape, default=-1) < 0 or math.prod(shape) != len(numbers):
        raise NotMatlab(f"damaged: '{name}' has {len(numbers):,} numbers, but its shape is {shape}"[:200])
    return name, numbers.astype(_CLASSES[class_], copy=False).reshape(shape, order="F")
