"""Read TOML that anyone may have written: what could take minutes, or Python's stack, is found before it is parsed."""

import tomllib
from pathlib import Path
from typing import Any

from thirtytwo.errors import UserError

LARGEST = 256 << 10
"""Bytes of a file. A study of a hundred arms has 20,000."""
DOTS = 100
"""In a line, comments apart. The time that tomllib takes for a dotted key grows with the square of its parts."""
DEEPEST = 20
"""Tables and lists inside each other."""


def read(path: Path) -> dict[str, Any]:
    """The values in a TOML file. Raises UserError naming the file if it is missing or not TOML."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        return loads(content.decode("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # decoding and parsing raise ValueErrors
        raise UserError(f"{path}: cannot be read as TOML: {error}") from None


def loads(text: str) -> dict[str, Any]:
    """The values in a TOML text. Raises ValueError for another text, and for one beyond these limits or TOML's own."""
    if len(text) > LARGEST:
        raise ValueError(f"larger than {LARGEST >> 10} KiB")
    if any(line.partition("#")[0].count(".") > DOTS for line in text.splitlines()):
        raise ValueError(f"a line with more than {DOTS} dots")
    try:
        found = tomllib.loads(text)
    except RecursionError:
        raise ValueError(f"nested more than {DEEPEST} deep") from None
    waiting: list[tuple[Any, int]] = [(found, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} deep")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError("a whole number of more than 64 bits")
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        waiting += [(each, depth + 1) for each in inside]
    return found
