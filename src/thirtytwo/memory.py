"""How much memory is free, asked before much of it is taken."""

import os
from contextlib import suppress
from pathlib import Path

from thirtytwo.errors import UserError

UNKNOWN = 8 << 30
"""Bytes that are taken to be free where the system cannot be asked."""


def free() -> int:
    """Bytes that a process can take without pushing others out of memory."""
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with suppress(AttributeError, OSError, ValueError):  # Windows has none of it, a Mac all but what is free
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return UNKNOWN


def require(needed: float, what: str, remedy: str) -> None:
    """Raise UserError unless ``needed`` bytes are free. The message begins with ``what`` and ends with ``remedy``."""
    if needed > (there := free()):
        raise UserError(f"{what} at least {needed / 1e9:,.1f} GB of memory, {there / 1e9:.1f} GB are free: {remedy}")
