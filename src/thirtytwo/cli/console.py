"""How the command line prints: aligned, quiet, colour only where it means something.

On a terminal, lines are folded to its width; in a file or a pipe, each is whole, so that other programs can read it.
"""

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from thirtytwo.display import LABEL, output

errors = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def one_line(text: str) -> str:
    r"""``text`` with line breaks and control characters, which file names may hold, spelt out: ``\n``, ``\x1b``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def terminal_width() -> int | None:
    """The terminal's width in characters; None where the output is a file or a pipe, whose lines have no limit."""
    return output.width if output.is_terminal else None


def say(label: str, text: str, note: str = "", *, style: str = "") -> None:
    """One aligned line: what it is about, in ``style``, what it says, and a dimmer note.

    Where the terminal is too narrow for it, the text is folded beside its label, and the note stands below it.
    """
    head, text, note = Text(f"{one_line(label):<{LABEL - 1}} ", style), one_line(text), one_line(note)
    line = head + Text(text)
    if note:
        line.pad_right(LABEL + 38 - len(line))
        line.append(f"  {note}", style="dim")
    width = terminal_width()
    if width is None or line.cell_len <= width:
        output.print(line)
        return
    room = max(1, width - LABEL)
    parts = [(each, "") for each in _folded(text.split(" "), room, " ")]
    parts += [(each, "dim") for each in (_folded(note.split(" "), room, " ") if note else [])]
    for place, (part, shade) in enumerate(parts):
        output.print((Text(" " * LABEL) if place else head) + Text(part, shade))


def say_note(text: str, *, style: str = "dim") -> None:
    """A sentence below a table."""
    text = one_line(text)
    for line in _folded(text.split(" "), terminal_width() or len(text), " "):
        output.print(line, style=style)


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


def say_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = (), gap: int = 3) -> None:
    """A table without lines, its columns ``gap`` characters apart, those in ``right`` flush right.

    On a terminal that is too narrow for it, each row becomes a paragraph: its first cell, and below it the others, each
    after its column's name. An empty header is not shown.
    """
    cells = [[one_line(cell) for cell in row] for row in (*([header] if any(header) else []), *rows)]
    widths = [max(map(_cells, column)) for column in zip(*cells, strict=True)]
    width = terminal_width()
    if width is not None and table_width(widths, gap) > width:
        _say_paragraphs(header, cells[bool(any(header)) :], width, gap)
        return
    flush = [name in right for name in header]
    lines = [_aligned(row, widths, flush, " " * gap) for row in cells]
    if any(header):
        output.print(lines.pop(0), style="dim")
    # Not by rich, which takes 3 s for 10,000 lines.
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def table_width(widths: Sequence[int], gap: int = 3) -> int:
    """The width of a table whose columns have these ``widths``."""
    return sum(widths) + gap * (len(widths) - 1)


def _aligned(row: Sequence[str], widths: Sequence[int], flush: Sequence[bool], gap: str) -> str:
    padded = (
        " " * (width - _cells(cell)) + cell if right else cell + " " * (width - _cells(cell))
        for cell, width, right in zip(row, widths, flush, strict=True)
    )
    return gap.join(padded).rstrip()


def _say_paragraphs(header: Sequence[str], rows: Sequence[Sequence[str]], width: int, gap: int) -> None:
    longest = max(map(_cells, header[1:]), default=0)
    names = [name + " " * (longest - _cells(name)) for name in header[1:]]
    for first, *others in rows:
        pieces = [f"{name} {cell}".lstrip() for name, cell in zip(names, others, strict=True) if cell]
        lines = _folded(pieces, width - 2, " " * gap)
        sys.stdout.write("".join(f"{line}\n" for line in (first, *(f"  {line}" for line in lines))))


def _folded(pieces: Iterable[str], room: int, gap: str) -> list[str]:
    """Lines of at most ``room`` characters, unless a piece is longer: none is broken, so that a path can be copied."""
    lines: list[str] = []
    for piece in pieces:
        if lines and _cells(lines[-1]) + len(gap) + _cells(piece) <= room:
            lines[-1] += gap + piece
        else:
            lines.append(piece)
    return lines


def _cells(text: str) -> int:
    """The width of ``text`` on a terminal."""
    return len(text) if text.isascii() else cell_len(text)
