"""A reader for pickles of plain values: numbers, text, lists, dicts and NumPy arrays of whole numbers.

It interprets the opcodes itself. Nothing that a file names is imported or called, and time and memory are proportional
to the file's size: no opcode costs more than the bytes that it stands for, whereas to Python's own reader a few bytes
can mean hashing a tuple of 2**50 elements, or encoding the same megabyte again.
"""

import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

_KINDS = ("u1", "i4", "i8")
_DAMAGED = (ValueError, LookupError, TypeError, AttributeError, MemoryError, OverflowError)
"""What a damaged pickle leads to, here and in the standard library's list of opcodes."""


class NotPlain(Exception):
    """Why a pickle cannot be read; the sentence's subject is the pickle."""


class _Mark:
    """Where the elements of a container begin on the stack."""


class _Array:
    """Stands for an array until its state has been read."""

    value: np.ndarray | None = None

    def build(self, state: Any) -> None:
        """Take the state that NumPy pickles: version, shape, kind, whether in Fortran's order, bytes."""
        _, shape, kind, fortran, data = state
        if (
            not isinstance(kind, _Kind)
            or not isinstance(kind.name, str)
            or kind.name not in _KINDS
            or fortran
            or not isinstance(data, bytes)
        ):
            raise NotPlain("holds an array of something other than plain whole numbers")
        self.value = np.frombuffer(data, dtype=f"<{kind.name}").reshape(shape)


class _Kind:
    """Stands for NumPy's dtype, of which only the name counts."""

    def __init__(self, name: Any) -> None:
        self.name = name.decode("latin1") if isinstance(name, bytes) and len(name) == 2 else name

    def build(self, state: Any) -> None:
        """Ignore the byte order, which is little-endian in CIFAR's files."""


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.encodable = len(data)  # characters of text that may still become bytes

    def read(self) -> Any:
        for opcode, argument, _ in pickletools.genops(self.data):
            name = opcode.name
            if name in _VALUES:
                self.stack.append(_VALUES[name](argument))
            elif name in _STEPS:
                _STEPS[name](self, argument)
            elif name not in ("PROTO", "FRAME", "STOP"):
                raise NotPlain(f"uses the opcode {name}, which plain values do not need")
        return self.stack.pop()

    def marked(self) -> list[Any]:
        """The values above the last mark, off the stack."""
        items = []
        while (item := self.stack.pop()) is not _Mark:
            items.append(item)
        return items[::-1]

    def taken(self, count: int) -> tuple[Any, ...]:
        """The last ``count`` values, off the stack."""
        return tuple(self.stack.pop() for _ in range(count))[::-1]

    def extend(self, items: list[Any]) -> None:
        container = self.stack[-1]
        if not isinstance(container, list):
            raise NotPlain("is damaged")
        container.extend(items)

    def fill(self, items: list[Any]) -> None:
        container = self.stack[-1]
        if not isinstance(container, dict) or len(items) % 2:
            raise NotPlain("is damaged")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | bytes):  # to hash anything else may take for ever
                raise NotPlain("holds a dict whose keys are not text")
            container[key] = value

    def new_dict(self) -> None:
        items = self.marked()
        self.stack.append({})
        self.fill(items)

    def memoise(self, place: int | None) -> None:
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise NotPlain("is damaged")
        if (module, name) not in _KNOWN:
            raise NotPlain(f"asks for {module[:80]}.{name[:80]}, which could run code")
        self.stack.append(_KNOWN[module, name])

    def reduce(self) -> None:
        made, arguments = self.taken(2)
        if made is _encode:
            text, encoding = arguments
            self.encodable -= len(text)
            if self.encodable < 0 or encoding != "latin1":
                raise NotPlain("is damaged")
            self.stack.append(text.encode("latin1"))
        elif made in (_Array, _Kind):
            self.stack.append(_Array() if made is _Array else _Kind(arguments[0]))
        else:
            raise NotPlain("is damaged")

    def build(self) -> None:
        (state,) = self.taken(1)
        self.stack[-1].build(state)


def _encode() -> None:
    """Stands for the function of which Python 3 writes a call for bytes in protocol 2."""


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): None,  # which pickles only pass on
    ("numpy", "dtype"): _Kind,
    ("_codecs", "encode"): _encode,
}


def _same(value: Any) -> Any:
    return value


def _latin1(text: str) -> bytes:
    return text.encode("latin1")


_VALUES: dict[str, Callable[[Any], Any]] = {
    "NONE": lambda _: None, "NEWTRUE": lambda _: True, "NEWFALSE": lambda _: False, "MARK": lambda _: _Mark,
    "EMPTY_LIST": lambda _: [], "EMPTY_DICT": lambda _: {}, "EMPTY_TUPLE": lambda _: (),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), _latin1),  # Python 2's str
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"), _same),
    **dict.fromkeys(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _same),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), _same),
}  # fmt: skip
"""Opcodes that put a value on the stack, made from their argument."""

_STEPS: dict[str, Callable[[_Reader, Any], None]] = {
    "LIST": lambda reader, _: reader.stack.append(reader.marked()),
    "TUPLE": lambda reader, _: reader.stack.append(tuple(reader.marked())),
    "TUPLE1": lambda reader, _: reader.stack.append(reader.taken(1)),
    "TUPLE2": lambda reader, _: reader.stack.append(reader.taken(2)),
    "TUPLE3": lambda reader, _: reader.stack.append(reader.taken(3)),
    "APPEND": lambda reader, _: reader.extend(list(reader.taken(1))),
    "APPENDS": lambda reader, _: reader.extend(reader.marked()),
    "SETITEM": lambda reader, _: reader.fill(list(reader.taken(2))),
    "SETITEMS": lambda reader, _: reader.fill(reader.marked()),
    "DICT": lambda reader, _: reader.new_dict(),
    "REDUCE": lambda reader, _: reader.reduce(),
    "BUILD": lambda reader, _: reader.build(),
    "GLOBAL": lambda reader, text: reader.name(*text.split(" ", 1)),
    "STACK_GLOBAL": lambda reader, _: reader.name(*reader.taken(2)),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Reader.memoise),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda reader, place: reader.stack.append(reader.memo[place])),
}
"""Opcodes that work on the stack."""


def read(data: bytes) -> Any:
    """The value that a pickle describes. Raises NotPlain if it is damaged or holds anything else."""
    try:
        return _Reader(data).read()
    except _DAMAGED:
        raise NotPlain("is damaged") from None


def array_of(value: Any) -> Any:
    """The array that a value from `read` stands for, if it does; else the value."""
    return value.value if isinstance(value, _Array) else value
