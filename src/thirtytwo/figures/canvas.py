"""What every figure has in common: its colours, its axes, and its two forms."""

import base64
import io
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, ParamSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#1f2329", "#636c76", "#d5dae0", "#fefefe"
BLUE, VERMILION = "#0072b2", "#d55e00"
THEMED = {INK: "--ink", MUTED: "--muted", GRID: "--grid", PAPER: "--paper", BLUE: "--blue", VERMILION: "--vermilion"}
"""The page's own variable for each colour, so that an inline figure turns dark with the page."""

STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
}
BARS_SHOWN = 40
"""With more classes than this, bars have no names, or are left out."""

SMALLEST = 0.62
"""A figure that is shrunk further on a narrow page can't be read: it scrolls instead."""

P = ParamSpec("P")


class Drawing(NamedTuple):
    """A figure, and its text alternative; where that is empty, a page leaves the figure out."""

    figure: "Figure"
    alt: str


@contextmanager
def _style(**more: str) -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(STYLE | more):
        yield


def drawn(function: "Callable[P, Figure]") -> "Callable[P, Figure]":
    """Decorate a function that makes a figure: it is drawn in this package's style, and laid out."""

    @wraps(function)
    def styled(*args: P.args, **kwargs: P.kwargs) -> "Figure":
        with _style(), _glyphs_may_miss():
            figure = function(*args, **kwargs)
            if engine := figure.get_layout_engine():
                # Laid out once, not again for each file: that took half of the drawing time.
                engine.execute(figure)
                figure.set_layout_engine("none")
            return figure

    return styled


def axes(width: float, height: float) -> "tuple[Figure, Axes]":
    """A figure of that size in inches with one pair of axes, whose margins fit its labels."""
    from matplotlib.figure import Figure

    figure = Figure((width, height), layout="constrained", facecolor="white")
    plane = figure.add_subplot()
    plane.tick_params(length=0)
    return figure, plane


def rgb(color: str) -> list[float]:
    """Red, green and blue in 0..1 of a colour such as ``#0072b2``."""
    return [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def percent(share: float, _position: float) -> str:
    """Format a share for an axis: ``99.5 %``."""
    return f"{100 * share:.4g} %"


def short(name: str, width: int = 18) -> str:
    """A class name that fits on one line of a figure: no line breaks or control characters, at most ``width``."""
    line = "".join(c if c.isprintable() else " " for c in name)
    return line if len(line) <= width else f"{line[: width - 1]}…"


def labels(names: Sequence[str], width: int = 18) -> list[str]:
    """Class names that fit on one line of a figure, of at most ``width`` characters, and as different as they are.

    What all begin with is left out where one is too long. What is still too long is cut where that keeps it apart from
    all others: at its end, else further and further in front; a number is the last resort.
    """
    lines = [short(name, len(name)) for name in names]
    if max(map(len, lines), default=0) > width and (shared := _shared_words(lines)) > 3:
        lines = [f"…{line[shared:]}" for line in lines]
    found = {index: line for index, line in enumerate(lines) if len(line) <= width and lines.count(line) == 1}
    for quarters in range(4, -1, -1):
        head = (width - 1) * quarters // 4
        cuts = [f"{line[:head]}…{line[len(line) - (width - 1 - head) :]}" for line in lines]
        taken = Counter([*cuts, *found.values()])
        found |= {index: cut for index, cut in enumerate(cuts) if index not in found and taken[cut] == 1}
    return [found.get(index) or f"{short(line, width - 5)} {index + 1}" for index, line in enumerate(lines)]


def _shared_words(lines: Sequence[str]) -> int:
    """How many characters all lines begin with, up to the end of a word."""
    first, last = min(lines), max(lines)
    differs = (index for index, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    words = re.match(r".*[\W_]", first[: next(differs, 0)])
    return words.end() if words else 0


def png(figure: "Figure", path: "Path | BinaryIO") -> None:
    """Write a figure as a PNG file, on white, at 110 dots per inch."""
    with _style(), _glyphs_may_miss():
        figure.savefig(path, format="png", dpi=110)


def png_bytes(figure: "Figure") -> bytes:
    """A figure as the bytes of a PNG file, as `png` writes it."""
    buffer = io.BytesIO()
    png(figure, buffer)
    return buffer.getvalue()


def img(figure: "Figure", alt: str) -> str:
    """A figure as an ``<img>`` element for a notebook. ``alt`` is its text alternative."""
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{base64.b64encode(png_bytes(figure)).decode()}">'


def svg(figure: "Figure", label: str) -> str:
    """A figure as an ``<svg>`` element for a page: text stays text, colours follow the page, nothing is fetched.

    ``label`` is its text alternative.
    """
    buffer = io.StringIO()
    nothing: dict[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    # Salted with the label, ids are the same each time, and differ between the figures of a page.
    with _style(**{"svg.hashsalt": label}), _glyphs_may_miss():
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r' id="image[0-9a-f]*"', "", body)  # a hash of the pixels, the same for equal pictures
    body = body.replace("'DejaVu Sans'", "system-ui, sans-serif")
    for color, variable in THEMED.items():
        body = body.replace(color, f"var({variable})")
    width, height = (72 * inches for inches in figure.get_size_inches())
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {width:g} {height:g}" '
        f'style="width:{width / 0.75:.0f}px;min-width:{SMALLEST * width / 0.75:.0f}px" xmlns:xlink="http://www.w3.org/1999/xlink">{body}'
    )


@contextmanager
def _glyphs_may_miss() -> Iterator[None]:
    """Class names may be in any script: a glyph that matplotlib's font lacks becomes a box in a PNG, not a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support .* natively")
        yield
