"""Figures of a study: its arms compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Literal

import numpy as np

from thirtytwo.evaluation.compare import Compared
from thirtytwo.evaluation.estimate import points, scale, titled
from thirtytwo.evaluation.metrics import ImageMetric
from thirtytwo.figures import canvas
from thirtytwo.figures.canvas import BLUE, INK, MUTED, VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 4
"""Small plots in a row."""
CLASSES = 20
"""At most this many classes have their recall shown by arm."""


@dataclass(frozen=True, eq=False)
class ArmCurves:
    """Val's scores over the epochs of an arm's runs: ``epochs`` (T,), the others (seeds, T), NaN after a run's end."""

    name: str
    epochs: np.ndarray
    accuracy: np.ndarray
    loss: np.ndarray


@dataclass(frozen=True)
class Gap:
    """An arm's accuracy on training images as they are, and on val: means over its runs, 0..1."""

    name: str
    train: float
    val: float


@canvas.drawn
def differences(rows: Sequence[Compared], metric: ImageMetric) -> "Figure":
    """Each arm's difference with its 95 % intervals, over seeds (thick) and over images (thin).

    Blue is better and vermilion worse than what the arm is compared with, beyond chance after correction; for grey no
    difference is shown.
    """
    shown = [(row.name, row.difference) for row in rows if row.difference]
    factor, colors = scale(metric.unit), {"better": BLUE, "worse": VERMILION, "not shown": MUTED}
    figure, plane = canvas.axes(5.3, 0.9 + 0.34 * max(len(shown), 2))
    plane.axvline(0, color=INK, linewidth=1)
    for y, (_, difference) in enumerate(shown):
        value, images, color = difference.value, difference.over_images, colors[difference.verdict]
        plane.plot([factor * images.low, factor * images.high], [y + 0.22] * 2, color=color, alpha=0.5, linewidth=1.5)
        if not isnan(value.low):
            ends = [factor * value.low, factor * value.high]
            plane.plot(ends, [y] * 2, color=color, alpha=0.35, lw=7, solid_capstyle="butt")
        plane.plot(factor * value.value, y, "o", color=color, markersize=6)
    _names(plane, [name for name, _ in shown])
    plane.set_xlabel(f"difference of {titled(metric.title, points(metric.unit), capital=False)}")
    _keep_to_what_is_found(plane, [0.0, *(factor * each.value.value for _, each in shown)])
    plane.plot([], [], "o", color=BLUE, label="better")
    plane.plot([], [], "o", color=VERMILION, label="worse")
    plane.plot([], [], "o", color=MUTED, label="no difference shown")
    figure.legend(loc="outside upper right", ncols=3, handletextpad=0.3, columnspacing=1.2)
    return figure


@canvas.drawn
def means(rows: Sequence[Compared], metric: ImageMetric) -> "Figure":
    """Each arm's score: one mark per seed, and the mean with its 95 % interval over seeds."""
    figure, plane = canvas.axes(5.3, 0.9 + 0.34 * max(len(rows), 2))
    for y, row in enumerate(rows):
        mean = row.mean
        if not isnan(mean.low):
            plane.plot([mean.low, mean.high], [y] * 2, color=BLUE, alpha=0.3, lw=7, solid_capstyle="butt")
        plane.plot(list(row.by_seed.values()), [y - 0.24] * len(row.by_seed), "|", color=MUTED, markersize=7)
        plane.plot(mean.value, y, "o", color=BLUE, markersize=6)
    _names(plane, [row.name for row in rows])
    in_percent = metric.unit == "%"
    if in_percent:
        plane.xaxis.set_major_formatter(canvas.percent)
    plane.set_xlabel(titled(metric.title, "" if in_percent else metric.unit, capital=False))
    _keep_to_what_is_found(plane, [value for row in rows for value in row.by_seed.values()])
    plane.plot([], [], "o", color=BLUE, label="mean, 95 % over seeds")
    plane.plot([], [], "|", color=MUTED, label="one seed")
    figure.legend(loc="outside upper right", ncols=2, handletextpad=0.3, columnspacing=1.2)
    return figure


@canvas.drawn
def arm_curves(arms: Sequence[ArmCurves], first: str, what: Literal["accuracy", "loss"]) -> "Figure":
    """A score of val over the epochs, one small plot per arm: its mean and the spread over seeds (lowest to highest).

    The arm called ``first``, if it is among them, is drawn in dashed grey in every plot.
    """
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(arms))
    rows = -(-len(arms) // columns)
    figure = Figure((1.85 * columns + 0.4, 1.55 * rows + 0.3), layout="constrained", facecolor="white")
    planes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    reference = [arm for arm in arms if arm.name == first]
    titles = canvas.labels([arm.name for arm in arms], 24)
    for plane, arm, title in zip(planes.flat, arms, titles, strict=False):
        for each in reference:
            mean = np.nanmean(getattr(each, what), axis=0)
            plane.plot(each.epochs, mean, color=MUTED, lw=1, linestyle=(0, (3, 1.5)))
        values = getattr(arm, what)
        low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
        plane.fill_between(arm.epochs, low, high, color=BLUE, alpha=0.25, lw=0)
        plane.plot(arm.epochs, np.nanmean(values, axis=0), color=BLUE, linewidth=1.4)
        plane.set_title(title, fontsize=8.5, color=INK, loc="left")
        if what == "accuracy":
            plane.yaxis.set_major_formatter(canvas.percent)
        plane.tick_params(length=0)
    for plane in list(planes.flat)[len(arms) :]:
        plane.set_visible(False)
    # The first epochs of an untrained network would squeeze all differences against the edge.
    values = [getattr(arm, what) for arm in arms]
    if what == "accuracy":
        top, low = max(float(np.nanmax(each)) for each in values), min(float(np.nanmin(each[:, -1])) for each in values)
        bottom = max(0.0, min(low, 0.9) - 1.5 * max(top - low, 0.05))
        planes.flat[0].set_ylim(bottom, min(1.0, top + 0.05 * (top - bottom)))
    else:
        bottom, high = (
            min(float(np.nanmin(each)) for each in values),
            max(float(np.nanmax(each[:, -1])) for each in values),
        )
        top = high + 1.5 * max(high - bottom, 0.1)
        planes.flat[0].set_ylim(max(0.0, bottom - 0.05 * (top - bottom)), top)
    figure.supxlabel("epoch", fontsize=8.5, color=MUTED)
    return figure


@canvas.drawn
def gaps(arms: Sequence[Gap]) -> "Figure":
    """Each arm's accuracy on training images and on val, and the gap between them in points: means over seeds."""
    figure, plane = canvas.axes(5.3, 0.9 + 0.34 * max(len(arms), 2))
    for y, arm in enumerate(arms):
        plane.plot([arm.val, arm.train], [y] * 2, color=MUTED, linewidth=1.5, zorder=1)
        plane.plot(arm.val, y, "o", color=BLUE, markersize=6)
        plane.plot(arm.train, y, "s", color=VERMILION, markersize=5)
        middle = (arm.val + arm.train) / 2
        plane.text(middle, y - 0.12, f"{100 * (arm.train - arm.val):+.1f}", ha="center", va="bottom", color=INK)
    _names(plane, [arm.name for arm in arms])
    plane.xaxis.set_major_formatter(canvas.percent)
    plane.set_xlabel("accuracy, and the gap in points")
    plane.plot([], [], "o", color=BLUE, label="val")
    plane.plot([], [], "s", color=VERMILION, label="training images as they are")
    figure.legend(loc="outside upper right", ncols=2, handletextpad=0.3, columnspacing=1.2)
    return figure


@canvas.drawn
def class_recalls(arms: Sequence[str], classes: Sequence[str], recalls: np.ndarray) -> "Figure":
    """The recall of each class in each arm, float (A, K) in 0..1, as a table of numbers in percent.

    Blue is higher and vermilion lower than in the first arm, strongest at the largest change, or at 5 points. Of more
    than `CLASSES` classes, those with the lowest recall in the first arm.
    """
    chosen = np.sort(np.argsort(recalls[0], kind="stable")[:CLASSES])
    shown = recalls[:, chosen]
    change = shown - shown[0]
    cells = np.empty((*shown.shape, 4))
    cells[..., :3] = np.where(change[..., None] > 0, canvas.rgb(BLUE), canvas.rgb(VERMILION))
    cells[..., 3] = 0.75 * np.nan_to_num(np.abs(change)) / max(0.05, float(np.nanmax(np.abs(change))))
    count, k = shown.shape
    figure, plane = canvas.axes(2.0 + 0.42 * max(k, 4), 1.0 + 0.3 * max(count, 2))
    plane.imshow(cells, interpolation="none", aspect="auto", extent=(-0.5, k - 0.5, count - 0.5, -0.5))
    for (row, column), value in np.ndenumerate(shown):
        plane.text(
            column, row, "–" if isnan(value) else f"{100 * value:.0f}", ha="center", va="center", fontsize=8, color=INK
        )
    plane.set_xticks(range(k), canvas.labels([classes[i] for i in chosen], 20), rotation=90, color=INK)
    plane.set_yticks(range(count), canvas.labels(arms, 26), color=INK)
    plane.grid(visible=False)
    for spine in plane.spines.values():
        spine.set_visible(False)
    return figure


def _names(plane: "Axes", names: Sequence[str]) -> None:
    plane.set_yticks(range(len(names)), canvas.labels(names, 30))
    plane.tick_params(axis="y", labelcolor=INK)
    plane.set_ylim(len(names) - 0.45, -0.6)
    plane.grid(axis="y", visible=False)
    plane.spines["left"].set_visible(False)


def _keep_to_what_is_found(plane: "Axes", values: Sequence[float]) -> None:
    """Limit the axis to about the values: with two seeds an interval may be ten times as wide, and is cut off."""
    low, high = min(values), max(values)
    span = max(high - low, 1e-3)
    left, right = plane.get_xlim()
    plane.set_xlim(max(left, low - 1.5 * span), min(right, high + 1.5 * span))
