"""Paths as users write them."""

from pathlib import Path

from thirtytwo.errors import UserError


def as_path(text: str | Path) -> Path:
    """``text`` as a path, ``~`` expanded. Raises UserError when there is no such home folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UserError(f"{text}: no such home folder") from None
