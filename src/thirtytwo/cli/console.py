"""How the command line prints: aligned, quiet, colour only where it means something."""

import json
import math
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from thirtytwo.display import LABEL, output

errors = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def one_line(text: str) -> str:
    r"""``text`` with line breaks and control characters, which file names may hold, spelt out: ``\n``, ``\x1b``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def say(label: str, text: str, note: str = "", *, style: str = "") -> None:
    """One aligned line: what it is about, in ``style``, what it says, and a dimmer note."""
    line = Text.assemble((f"{one_line(label):<{LABEL - 1}}", style), " ", one_line(text))
    if note:
        line.pad_right(LABEL + 38 - len(line))
        line.append(f"  {one_line(note)}", style="dim")
    output.print(line)


def say_names(found: Mapping[str, str], *, as_json: bool) -> None:
    """What each name means, one line per name."""
    if as_json:
        say_json(found)
        return
    width = max(map(len, found), default=0)
    for name, meaning in found.items():
        output.print(f"{name:<{width}}   {one_line(meaning)}")


def say_json(value: Any) -> None:
    """One JSON document on stdout. A number that is nan or infinite is null."""
    sys.stdout.write(json.dumps(_strict(value), indent=1, default=str, allow_nan=False) + "\n")


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _strict(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def show(table: Table) -> None:
    """Print a table at its full width: on a narrow terminal its lines wrap instead of losing columns."""
    Console(width=1000, highlight=False, markup=False, emoji=False).print(table, crop=False)


def plain_table(*, header: bool = True, padding: int = 3) -> Table:
    """A table without lines, its columns ``padding`` characters apart."""
    return Table(box=None, pad_edge=False, padding=(0, padding, 0, 0), header_style="dim", show_header=header)
