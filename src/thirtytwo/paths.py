"""Paths as users write them, and as they are shown."""

import os
import re
from pathlib import Path

from thirtytwo.errors import UserError, brief

NUMBERED = re.compile(r"(?P<split>train|val|test):(?P<number>[0-9]{1,18})")
"""How an image of a run's own data is named, in place of a file."""


LONGEST = 4096
"""Bytes of a path, and below `NAME` each of its parts: what Linux's file systems take, of which others take less."""
NAME = 255


def as_path(text: str | Path) -> Path:
    """``text`` as a path, ``~`` expanded. Raises UserError if there is no such home folder, or can be no such file."""
    try:
        path = Path(text).expanduser()
        encoded = os.fsencode(path)
    except TypeError:
        raise UserError(f"{text!r} is not a path: give text or a pathlib.Path") from None
    except RuntimeError:
        raise UserError(f"{text}: no such home folder") from None
    except UnicodeEncodeError:
        raise UserError(f"{brief(str(text))}: not a name that a file can have") from None
    if len(encoded) > LONGEST or max(map(len, encoded.split(os.fsencode(os.sep)))) > NAME:
        raise UserError(f"{brief(str(text))}: no such file or folder: its name is longer than a file's can be")
    if b"\0" in encoded:
        raise UserError(f"{brief(str(text))}: not a name that a file can have")
    return path


def readable(path: str) -> str:
    r"""A path as text that every file and terminal takes: bytes of a name that are not UTF-8 are written ``\xe9``."""
    return path if path.isascii() else os.fsencode(path).decode("utf-8", "backslashreplace")


def natural(name: str) -> tuple[list[str | int], str]:
    """Sort key by which ``class2`` comes before ``class10``."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name
