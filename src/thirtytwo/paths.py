"""Paths as users write them, and as they are shown."""

import os
import re
from pathlib import Path

from thirtytwo.errors import UserError

NUMBERED = re.compile(r"(?P<split>train|val|test):(?P<number>[0-9]{1,18})")
"""How an image of a run's own data is named, in place of a file."""


def as_path(text: str | Path) -> Path:
    """``text`` as a path, ``~`` expanded. Raises UserError if there is no such home folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UserError(f"{text}: no such home folder") from None


def readable(path: str) -> str:
    r"""A path as text that every file and terminal takes: bytes of a name that are not UTF-8 are written ``\xe9``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def natural(name: str) -> tuple[list[str | int], str]:
    """Sort key by which ``class2`` comes before ``class10``."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name
