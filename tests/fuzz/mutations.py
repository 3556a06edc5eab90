"""Bytes changed at random, as files are when they are damaged or forged. The same generator gives the same bytes."""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from thirtytwo import UserError

_WORDS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(data: bytes, generator: np.random.Generator) -> bytes:
    """One to four changes of ``data``; half of them are in its first or last 300 bytes, where formats keep headers."""
    changed = bytearray(data)
    for _ in range(generator.integers(1, 5)):
        if changed:
            _CHANGES[generator.integers(len(_CHANGES))](changed, _place(len(changed), generator), generator)
    return bytes(changed)


def _place(length: int, generator: np.random.Generator) -> int:
    near = generator.integers(min(length, 300))
    return int((near, length - 1 - near, generator.integers(length), generator.integers(length))[generator.integers(4)])


def _flip(data: bytearray, at: int, generator: np.random.Generator) -> None:
    data[at] ^= 1 << generator.integers(8)


def _set(data: bytearray, at: int, generator: np.random.Generator) -> None:
    data[at] = generator.integers(256)


def _number(data: bytearray, at: int, generator: np.random.Generator) -> None:
    """A number that is at the edge of something, in one, two or four bytes of either order."""
    form = ("<B", "<H", ">H", "<I", ">I")[generator.integers(5)]
    word = _WORDS[generator.integers(len(_WORDS))] & (256 ** struct.calcsize(form) - 1)
    data[at : at + struct.calcsize(form)] = struct.pack(form, word)


def _truncate(data: bytearray, at: int, generator: np.random.Generator) -> None:
    del data[at:]


def _remove(data: bytearray, at: int, generator: np.random.Generator) -> None:
    del data[at : at + int(generator.integers(1, 64))]


def _repeat(data: bytearray, at: int, generator: np.random.Generator) -> None:
    data[at:at] = data[at : at + int(generator.integers(1, 64))]


def _move(data: bytearray, at: int, generator: np.random.Generator) -> None:
    """Bytes of one place in another, as they are or random ones."""
    size, other = int(generator.integers(1, 64)), int(generator.integers(len(data)))
    piece = bytes(data[other : other + size]) if generator.integers(2) else generator.bytes(size)
    data[at : at + size] = piece


_CHANGES: tuple[Callable[[bytearray, int, np.random.Generator], None], ...] = (
    _flip, _flip, _set, _set, _number, _number, _truncate, _remove, _repeat, _move,
)  # fmt: skip


def contents(root: Path) -> dict[Path, bytes]:
    """The bytes of every file below ``root``."""
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@contextmanager
def one_line_at_most(what: str) -> Iterator[None]:
    """What happens inside may raise UserError with one line, and nothing else; ``what`` says what was tried."""
    try:
        yield
    except UserError as error:
        assert str(error).strip() and len(str(error).splitlines()) == 1, what
    except Exception as error:
        error.add_note(what)
        raise
