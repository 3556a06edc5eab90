"""Figures of a run's quality: curves over its training, classes, confusions, calibration."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from thirtytwo.evaluation.metrics import ReliabilityBin
from thirtytwo.evaluation.per_class import ClassScores
from thirtytwo.figures import canvas
from thirtytwo.figures.canvas import BLUE, INK, MUTED, PAPER, VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LARGE_CELLS = 20
COUNTED_CLASSES, NAMED_CLASSES = 50, 100


@dataclass(frozen=True)
class Curve:
    """A quantity over the epochs; steps at which it was not measured are left out."""

    name: str
    epochs: list[float]
    values: list[float]


@canvas.drawn
def curves(lines: Sequence[Curve], what: str) -> "Figure":
    """``what`` over the epochs: val solid, train dashed. ``what`` is "loss", "accuracy" or "learning rate"."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = canvas.axes(3.6, 2.5)
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
        axes.yaxis.set_major_formatter(canvas.percent)
    elif any(line.values for line in lines):
        axes.set_ylim(bottom=0)
    if sum(bool(line.epochs) for line in lines) > 1:
        axes.legend(loc="lower right" if what == "accuracy" else "upper right", handlelength=2.2)
    return figure


@canvas.drawn
def class_bars(classes: Sequence[ClassScores], overall: float) -> "Figure":
    """Recall (bar with a dot) and precision (thin bar with a diamond) of each class with 95 % intervals.

    In the order given, from the top; at most the first `BARS_SHOWN`. A line marks the split's accuracy, ``overall``.
    """
    from matplotlib.ticker import MaxNLocator

    shown = list(classes)[: canvas.BARS_SHOWN]
    figure, axes = canvas.axes(5.3, 0.75 + (0.36 if len(shown) <= LARGE_CELLS else 0.27) * max(len(shown), 2))
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
    axes.set_yticks(range(len(shown)), canvas.labels([scores.name for scores in shown], 26))
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(len(shown) - 0.45, -0.55)
    axes.set_xlim(right=1.0 + 0.02 * (1.0 - axes.get_xlim()[0]))
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(canvas.percent)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.plot([], [], "o", color=BLUE, label="recall")
    axes.plot([], [], "D", color=VERMILION, markersize=4, label="precision")
    axes.plot([], [], color=MUTED, linewidth=1, linestyle=(0, (1, 1.5)), label="accuracy over all")
    figure.legend(loc="outside upper right", ncols=3, handletextpad=0.4, columnspacing=1.2)
    return figure


@canvas.drawn
def confusion(matrix: np.ndarray, classes: Sequence[str]) -> "Figure":
    """The confusion matrix (int (K, K), rows are the truth): right in blue, wrong in vermilion, by share of the row.

    The opacity of wrong cells follows the square root of their share, so that one error in a thousand is still visible.
    Up to `COUNTED_CLASSES` classes the counts are in the cells, up to `NAMED_CLASSES` the names along the sides.
    """
    k = len(classes)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    right = np.eye(k, dtype=bool)
    cells = np.empty((k, k, 4))
    cells[..., :3] = np.where(right[..., None], canvas.rgb(BLUE), canvas.rgb(VERMILION))
    cells[..., 3] = np.where(right, 0.9 * share, 0.15 + 0.75 * np.sqrt(share))
    cells[matrix == 0] = [*canvas.rgb(MUTED), 0.06]
    side = 1.6 + 0.38 * max(k, 4) if k <= LARGE_CELLS else min(1.6 + 0.22 * k, 10.5)
    figure, axes = canvas.axes(side, side)
    axes.imshow(cells, interpolation="none", aspect="equal", extent=(-0.5, k - 0.5, k - 0.5, -0.5))
    unit = "" if k <= NAMED_CLASSES else ", class number"
    axes.set(xlabel=f"predicted{unit}", ylabel=f"truth{unit}")
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(k > COUNTED_CLASSES)
    if k <= NAMED_CLASSES:
        size = min(8.5, 60 * (side - 1) / k)
        names = canvas.labels(classes, 20)
        axes.set_yticks(range(k), names, fontsize=size, color=INK)
        upright = max(map(len, names)) <= 3 and k <= 40
        axes.set_xticks(range(k), names, fontsize=size, color=INK, rotation=0 if upright else 90)
    if k <= COUNTED_CLASSES:
        _count_cells(axes, matrix, cells[..., 3], 72 * (side - 1.6) / max(k, 4))
    return figure


def _count_cells(axes: "Axes", matrix: np.ndarray, opacity: np.ndarray, width: float) -> None:
    """Write the counts into cells that are ``width`` points wide; a digit is about 0.64 of its size wide."""
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
                fontsize=min(8.5, 0.92 * width / (0.64 * max(2, len(f"{count}")))),
                color="white" if opacity[row, column] > 0.7 else INK,
            )


@canvas.drawn
def reliability(bins: Sequence[ReliabilityBin], n: int) -> "Figure":
    """Accuracy of the images in each confidence bin, with 95 % intervals, against the diagonal of perfect calibration.

    Below it, the share of the ``n`` images in each bin.
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
        axes.xaxis.set_major_formatter(canvas.percent)
        axes.yaxis.set_major_formatter(canvas.percent)
    return figure
