"""Figures as matplotlib objects, and their two forms: a PNG file on white, and SVG text that follows the page's theme.

Colours are Okabe and Ito's (2008), which stay apart for every common form of colour blindness; blue is what went
right, vermilion what went wrong. No pyplot: nothing here has state.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ParamSpec

import numpy as np

from thirtytwo.metrics import ClassScores, ReliabilityBin
from thirtytwo.report.view import Curve

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
BARS_SHOWN, COUNTED_CLASSES, NAMED_CLASSES = 30, 20, 100

P = ParamSpec("P")


@contextmanager
def _style(**more: str) -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(STYLE | more):
        yield


def _drawn(function: "Callable[P, Figure]") -> "Callable[P, Figure]":
    @wraps(function)
    def styled(*args: P.args, **kwargs: P.kwargs) -> "Figure":
        with _style(), _glyphs_may_miss():
            figure = function(*args, **kwargs)
            if engine := figure.get_layout_engine():
                # Laid out once, not again for each file: half of the drawing time.
                engine.execute(figure)
                figure.set_layout_engine("none")
            return figure

    return styled


def _percent(share: float, _position: float) -> str:
    return f"{100 * share:.4g} %"


def _axes(width: float, height: float) -> "tuple[Figure, Axes]":
    """A figure of that many inches with one pair of axes, whose margins fit its labels."""
    from matplotlib.figure import Figure

    figure = Figure((width, height), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    axes.tick_params(length=0)
    return figure, axes


def short(name: str, width: int = 18) -> str:
    """A class name that fits on one line of a figure: no line breaks or control characters, at most ``width``."""
    line = "".join(c if c.isprintable() else " " for c in name)
    return line if len(line) <= width else f"{line[: width - 1]}…"


@_drawn
def curves(lines: Sequence[Curve], what: str) -> "Figure":
    """``what`` over the epochs: val solid, train dashed. ``what`` is "loss", "accuracy" or "learning rate"."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _axes(3.6, 2.5)
    for line in lines:
        train = line.name == "train"
        axes.plot(
            line.epochs,
            line.values,
            color=MUTED if train else BLUE,
            linestyle=(0, (3, 1.5)) if train else "-",
            marker="o" if len(line.epochs) < 3 else None,
            markersize=4,
            label=line.name,
            zorder=2 if train else 3,
        )
    last = max((epoch for line in lines for epoch in line.epochs), default=1.0)
    axes.set(xlabel="epoch", ylabel=what, xlim=(0, 1.02 * last))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    if what == "accuracy":
        axes.yaxis.set_major_formatter(_percent)
    elif any(line.values for line in lines):
        axes.set_ylim(bottom=0)
    if sum(bool(line.epochs) for line in lines) > 1:
        axes.legend(loc="lower right" if what == "accuracy" else "upper right", handlelength=2.2)
    return figure


@_drawn
def class_bars(classes: Sequence[ClassScores], overall: float) -> "Figure":
    """Recall (bar with a dot) and precision (thin bar with a diamond) of each class with 95 % intervals.

    In the order given, from the top; the first `BARS_SHOWN` of more. A line marks the split's accuracy, ``overall``.
    """
    from matplotlib.ticker import MaxNLocator

    shown = list(classes)[:BARS_SHOWN]
    figure, axes = _axes(5.3, 0.75 + (0.36 if len(shown) <= COUNTED_CLASSES else 0.27) * max(len(shown), 2))
    for row, scores in enumerate(shown):
        for score, shift, width, marker, color in (
            (scores.recall, -0.15, 6.0, "o", BLUE),
            (scores.precision, 0.17, 3.0, "D", VERMILION),
        ):
            if score.n:
                y = row + shift
                axes.plot(
                    [score.low, score.high], [y, y], color=color, alpha=0.3, linewidth=width, solid_capstyle="butt"
                )
                axes.plot(score.value, y, marker, color=color, markersize=5.5 if marker == "o" else 3.5)
    axes.axvline(overall, color=MUTED, linewidth=1, linestyle=(0, (1, 1.5)), zorder=1)
    axes.set_yticks(range(len(shown)), [short(scores.name) for scores in shown])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(len(shown) - 0.45, -0.55)
    axes.set_xlim(right=1.0 + 0.02 * (1.0 - axes.get_xlim()[0]))
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(_percent)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.plot([], [], "o", color=BLUE, label="recall")
    axes.plot([], [], "D", color=VERMILION, markersize=4, label="precision")
    axes.plot([], [], color=MUTED, linewidth=1, linestyle=(0, (1, 1.5)), label="accuracy over all")
    figure.legend(loc="outside upper right", ncols=3, handletextpad=0.4, columnspacing=1.2)
    return figure


@_drawn
def confusion(matrix: np.ndarray, classes: Sequence[str]) -> "Figure":
    """The confusion matrix (int (K, K), rows are the truth): right in blue, wrong in vermilion, by share of the row.

    The wrong cells' opacity goes by the square root of their share, so that one error in a thousand still shows.
    Up to `COUNTED_CLASSES` classes the counts stand in the cells, up to `NAMED_CLASSES` the names along the sides.
    """
    k = len(classes)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    right = np.eye(k, dtype=bool)
    cells = np.empty((k, k, 4))
    cells[..., :3] = np.where(right[..., None], _rgb(BLUE), _rgb(VERMILION))
    cells[..., 3] = np.where(right, 0.9 * share, 0.15 + 0.75 * np.sqrt(share))
    cells[matrix == 0] = [*_rgb(MUTED), 0.06]
    side = 1.6 + 0.38 * max(k, 4) if k <= COUNTED_CLASSES else min(1.6 + 0.2 * k, 10.5)
    figure, axes = _axes(side, side)
    axes.imshow(cells, interpolation="none", aspect="equal", extent=(-0.5, k - 0.5, k - 0.5, -0.5))
    unit = "" if k <= NAMED_CLASSES else ", class number"
    axes.set(xlabel=f"predicted{unit}", ylabel=f"truth{unit}")
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(k > COUNTED_CLASSES)
    if k <= NAMED_CLASSES:
        size = min(8.5, 60 * (side - 1) / k)
        names = [short(name, 14) for name in classes]
        axes.set_yticks(range(k), names, fontsize=size, color=INK)
        upright = max(map(len, names)) <= 3 and k <= 40
        axes.set_xticks(range(k), names, fontsize=size, color=INK, rotation=0 if upright else 90)
    if k <= COUNTED_CLASSES:
        _count_cells(axes, matrix, cells[..., 3])
    return figure


def _count_cells(axes: "Axes", matrix: np.ndarray, opacity: np.ndarray) -> None:
    edges = np.arange(len(matrix) - 1) + 0.5
    axes.hlines(edges, -0.5, len(matrix) - 0.5, color=PAPER, linewidth=1.5)
    axes.vlines(edges, -0.5, len(matrix) - 0.5, color=PAPER, linewidth=1.5)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            axes.text(
                column,
                row,
                f"{count}",
                ha="center",
                va="center",
                fontsize=8.5 if count < 1000 else 7,
                color="white" if opacity[row, column] > 0.7 else INK,
            )


@_drawn
def reliability(bins: Sequence[ReliabilityBin], n: int) -> "Figure":
    """Accuracy of the images of each confidence bin, with 95 % intervals, against the diagonal of honest confidence.

    Below it, how many of the ``n`` images lie in each bin.
    """
    from matplotlib.figure import Figure

    figure = Figure((4.6, 4.6), layout="constrained", facecolor="white")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    filled = [b for b in bins if b.accuracy.n]
    x = np.array([b.confidence for b in filled])
    y = np.array([b.accuracy.value for b in filled])
    upper.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (3, 2)))
    upper.vlines(x, [b.accuracy.low for b in filled], [b.accuracy.high for b in filled], color=BLUE, alpha=0.35, lw=4)
    upper.plot(x, y, "o", color=BLUE, markersize=6, clip_on=False, zorder=3)
    upper.set(xlim=(0, 1.02), ylim=(0, 1.02), ylabel="accuracy")
    lower.bar(
        [b.low for b in bins],
        [b.accuracy.n / max(n, 1) for b in bins],
        width=0.92 / len(bins),
        align="edge",
        color=BLUE,
        alpha=0.6,
    )
    lower.set(xlabel="confidence", ylabel="images", ylim=(0, 1.02), yticks=[0.5, 1])
    for axes in (upper, lower):
        axes.tick_params(length=0)
        axes.xaxis.set_major_formatter(_percent)
        axes.yaxis.set_major_formatter(_percent)
    return figure


@_drawn
def sample_grid(images: np.ndarray, titles: Sequence[str], columns: int) -> "Figure":
    """Images (uint8 (N, C, H, W), grey or RGB) in rows of ``columns``, each enlarged pixel by pixel under its title.

    A title may have several lines.
    """
    from matplotlib.figure import Figure

    count, channels, height, width = images.shape
    columns = max(1, min(columns, count))
    rows = -(-count // columns)
    lines = max((title.count("\n") + 1 for title in titles), default=1)
    tall, gap = height / width, 0.12
    pitch = tall + 0.17 * lines + gap
    inches = 1.05
    figure = Figure((columns * (1 + gap) * inches, max(rows, 1) * pitch * inches), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-gap / 2, columns * (1 + gap) - gap / 2), ylim=(max(rows, 1) * pitch, 0))
    axes.axis("off")
    for index, (image, title) in enumerate(zip(images, titles, strict=True)):
        x, top = index % columns * (1 + gap), index // columns * pitch + pitch - tall - gap / 2
        pixels = np.broadcast_to(image, (3, height, width)) if channels == 1 else image
        axes.imshow(pixels.transpose(1, 2, 0), extent=(x, x + 1, top + tall, top), interpolation="nearest")
        axes.text(x, top - 0.04, title, ha="left", va="bottom", fontsize=7.5, linespacing=1.15)
    axes.set_aspect("auto")
    axes.set(xlim=(-gap / 2, columns * (1 + gap) - gap / 2), ylim=(max(rows, 1) * pitch, 0))
    return figure


@_drawn
def class_counts(counts: Mapping[str, Sequence[int]], classes: Sequence[str]) -> "Figure":
    """Images a class, one bar a split (``{"train": [..], "val": [..], "test": [..]}``), in class order."""
    k, splits = len(classes), list(counts)
    figure, axes = _axes(5.3, 0.75 + 0.3 * max(k, 2) if k <= BARS_SHOWN else 4.0)
    left = np.zeros(k)
    for split, color, alpha in zip(splits, (BLUE, VERMILION, MUTED), (0.85, 0.85, 0.6), strict=False):
        values = np.asarray(counts[split], dtype=float)
        if k <= BARS_SHOWN:
            axes.barh(range(k), values, 0.72, left=left, color=color, alpha=alpha, label=split)
        else:
            axes.bar(range(k), values, 1.0, bottom=left, color=color, alpha=alpha, label=split)
        left += values
    if k <= BARS_SHOWN:
        axes.set_yticks(range(k), [short(name) for name in classes])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(k - 0.4, -0.6)
        axes.set_xlabel("images")
        axes.grid(axis="y", visible=False)
    else:
        axes.set(xlabel="class", ylabel="images")
        axes.grid(axis="x", visible=False)
    figure.legend(loc="outside upper right", ncols=len(splits), columnspacing=1.2)
    return figure


@_drawn
def pixel_histogram(counts: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> "Figure":
    """How often each pixel value occurs, int (C, 256), with each channel's mean and standard deviation in 0..1."""
    figure, axes = _axes(7.0, 2.4)
    names = ("grey",) if len(counts) == 1 else ("red", "green", "blue")
    colors = (INK,) if len(counts) == 1 else (VERMILION, "#009e73", BLUE)
    for channel, name, color, centre, spread in zip(counts, names, colors, mean, std, strict=True):
        shares = channel / channel.sum()
        label = f"{name}: mean {centre:.3f}, std {spread:.3f}"
        axes.plot(np.arange(256) / 255, shares, color=color, linewidth=1.2, label=label)
        axes.axvline(centre, color=color, linewidth=0.8, linestyle=(0, (3, 2)))
    axes.set(xlabel="pixel value", ylabel="share of pixels", xlim=(0, 1), yscale="log")
    axes.yaxis.set_major_formatter(_percent)
    axes.yaxis.set_minor_formatter("")
    figure.legend(loc="outside upper left", ncols=len(names), columnspacing=1.2)
    return figure


def _rgb(color: str) -> list[float]:
    return [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def png(figure: "Figure", path: "Path | BinaryIO") -> None:
    """Write a figure as a PNG file, on white, at 110 dots an inch."""
    with _style(), _glyphs_may_miss():
        figure.savefig(path, format="png", dpi=110)


def svg(figure: "Figure", label: str) -> str:
    """A figure as an ``<svg>`` element for a page: text stays text, colours follow the page, nothing is fetched.

    ``label`` is read out in place of the picture.
    """
    import io
    from html import escape

    buffer = io.StringIO()
    nothing: dict[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    # Salted with the label, ids are the same each time and differ between the figures of a page.
    with _style(**{"svg.hashsalt": label}), _glyphs_may_miss():
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = body.replace("'DejaVu Sans'", "system-ui, sans-serif")
    for color, variable in THEMED.items():
        body = body.replace(color, f"var({variable})")
    width, height = (72 * inches for inches in figure.get_size_inches())
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {width:g} {height:g}" '
        f'style="width:{width / 0.75:.0f}px" xmlns:xlink="http://www.w3.org/1999/xlink">{body}'
    )


@contextmanager
def _glyphs_may_miss() -> Iterator[None]:
    """Class names may be in any script: what matplotlib's own font lacks becomes a box in a PNG, not a warning."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support .* natively")
        yield
