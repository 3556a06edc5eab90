"""Figures of pictures: samples, predictions, a network's maps; and of an image set's statistics."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from thirtytwo.evaluation.estimate import quantity
from thirtytwo.figures import canvas
from thirtytwo.figures.canvas import BLUE, INK, MUTED, VERMILION
from thirtytwo.words import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_COLUMNS = 3
FILTERS_SHOWN, FILTER_COLUMNS = 96, 12


@canvas.drawn
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


@canvas.drawn
def class_counts(counts: Mapping[str, Sequence[int]], classes: Sequence[str]) -> "Figure":
    """Images per class, one bar per split (``{"train": [..], "val": [..], "test": [..]}``), in class order."""
    k, splits = len(classes), list(counts)
    figure, axes = canvas.axes(5.3, 0.75 + (0.3 if k <= 20 else 0.2) * max(k, 2) if k <= canvas.BARS_SHOWN else 4.0)
    left = np.zeros(k)
    for split, color, alpha in zip(splits, (BLUE, VERMILION, MUTED), (0.85, 0.85, 0.6), strict=False):
        values = np.asarray(counts[split], dtype=float)
        if k <= canvas.BARS_SHOWN:
            axes.barh(range(k), values, 0.72, left=left, color=color, alpha=alpha, label=split)
        else:
            axes.bar(range(k), values, 1.0, bottom=left, color=color, alpha=alpha, label=split)
        left += values
    if k <= canvas.BARS_SHOWN:
        axes.set_yticks(range(k), canvas.labels(classes, 26))
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(k - 0.4, -0.6)
        axes.set_xlabel("images")
        axes.grid(axis="y", visible=False)
    else:
        axes.set(xlabel="class", ylabel="images")
        axes.grid(axis="x", visible=False)
    figure.legend(loc="outside upper right", ncols=len(splits), columnspacing=1.2)
    return figure


@canvas.drawn
def pixel_histogram(counts: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> "Figure":
    """How often each pixel value occurs, int (C, 256), with each channel's mean and standard deviation in 0..1."""
    figure, axes = canvas.axes(7.0, 2.4)
    names = ("grey",) if len(counts) == 1 else ("red", "green", "blue")
    colors = (INK,) if len(counts) == 1 else (VERMILION, "#009e73", BLUE)
    for channel, name, color, centre, spread in zip(counts, names, colors, mean, std, strict=True):
        shares = channel / channel.sum()
        label = f"{name}: mean {centre:.3f}, std {spread:.3f}"
        axes.plot(np.arange(256) / 255, shares, color=color, linewidth=1.2, label=label)
        axes.axvline(centre, color=color, linewidth=0.8, linestyle=(0, (3, 2)))
    axes.set(xlabel="pixel value", ylabel="share of pixels", xlim=(0, 1), yscale="log")
    axes.yaxis.set_major_formatter(canvas.percent)
    axes.yaxis.set_minor_formatter("")
    figure.legend(loc="outside upper left", ncols=len(names), columnspacing=1.2)
    return figure


@canvas.drawn
def prediction_panel(
    images: Sequence[np.ndarray],
    titles: Sequence[str],
    said: Sequence[Sequence[tuple[str, float]]],
    truths: Sequence[str | None],
) -> "Figure":
    """Images (uint8 (C, H, W), grey or RGB, of one size) with a bar for the probability of each class in ``said``.

    The true class, where it is known, is blue and ticked; a wrong class that is the most probable one is vermilion.
    """
    from matplotlib.patches import Rectangle

    columns = max(1, min(PANEL_COLUMNS, len(images)))
    lines = max(len(classes) for classes in said)
    wide, line, gap = 1.75, 0.2, 0.1
    side = 0.8
    pitch = max(side, lines * line) + 0.3
    rows, known = -(-len(images) // columns), any(truth is not None for truth in truths)
    figure, axes = _sheet(columns * (side + wide + gap + 0.15), rows * pitch + 0.3 * known)
    for index, (image, title, classes, truth) in enumerate(zip(images, titles, said, truths, strict=True)):
        x, top = index % columns * (side + wide + gap + 0.15) + 0.05, index // columns * pitch + 0.25
        _show(axes, _colours(image), x, top, side)
        axes.text(x, top - 0.05, canvas.short(title, 34), va="bottom", color=MUTED, fontsize=7.5)
        labels = canvas.labels([name for name, _ in classes], 17)
        for rank, ((name, share), label) in enumerate(zip(classes, labels, strict=True)):
            right, left, y = name == truth, x + side + gap, top + rank * line
            color = BLUE if right else VERMILION if rank == 0 and truth is not None else MUTED
            bar = Rectangle((left, y), max(share * wide, 0.01), line - 0.03, color=color, alpha=0.35, linewidth=0)
            axes.add_patch(bar)
            style: dict[str, Any] = {"va": "center_baseline", "fontsize": 8.5, "weight": "bold" if right else "normal"}
            tick = " ✓" if right else ""
            axes.text(left + 0.05, y + line / 2 - 0.01, label + tick, **style)
            axes.text(left + wide, y + line / 2 - 0.01, quantity(share), ha="right", **style)
    if known:
        key = "blue ✓: the true class; vermilion: a wrong answer"
        axes.text(0.05, rows * pitch + 0.2, key, color=MUTED, fontsize=7.5)
    return figure


@canvas.drawn
def filters(weights: np.ndarray) -> "Figure":
    """Filters of a first convolution, float (C_out, C_in, h, w), each on its own scale, under its largest weight.

    Filters for RGB images are in colour around mid-grey; others are blue where positive and vermilion where negative,
    as the mean over the input channels where there are several. At most the first `FILTERS_SHOWN`.
    """
    shown = weights[:FILTERS_SHOWN]
    count, channels, height, width = shown.shape
    columns = min(FILTER_COLUMNS, count)
    rows = -(-count // columns)
    side, gap = 0.5, 0.1
    tall = side * height / width
    pitch = tall + 0.24
    figure, axes = _sheet(max(columns * (side + gap), 4.2) + gap, rows * pitch + 0.35)
    for index, weight in enumerate(shown):
        x, top = index % columns * (side + gap) + gap, index // columns * pitch + 0.2
        flat = weight if channels == 3 else weight.mean(axis=0, keepdims=True)
        most = float(np.abs(flat).max())
        scaled = flat / (most or 1.0)
        _show(axes, (scaled.transpose(1, 2, 0) + 1) / 2 if channels == 3 else _diverging(scaled[0]), x, top, side)
        axes.text(x, top - 0.04, f"±{most:.2g}", va="bottom", color=MUTED, fontsize=6.5)
    key = "mid-grey: 0; a channel is bright where its weight is positive"
    if channels != 3:
        key = "blue: positive, white: 0, vermilion: negative"
    if channels not in (1, 3):
        key += f"; mean over {plural(channels, 'input channel')}"
    more = f"the first {count} of {len(weights)}; " if count < len(weights) else ""
    axes.text(gap, rows * pitch + 0.22, more + key, color=MUTED, fontsize=7.5)
    return figure


class Maps(NamedTuple):
    """Some feature maps of a layer.

    Attributes:
        heading: the layer's name.
        shape: (C, h, w) of the whole output, of which these are a part.
        values: float (M, h, w), M at most C.
    """

    heading: str
    shape: tuple[int, int, int]
    values: np.ndarray


@canvas.drawn
def feature_maps(picture: np.ndarray, layers: Sequence[Maps], title: str) -> "Figure":
    """A picture (uint8 (C, H, W), grey or RGB) under its title, and below it one row of maps per layer.

    A row has one scale, from its smallest value (dark) to its largest (bright), which are printed above it.
    """
    from matplotlib import colormaps

    viridis = colormaps["viridis"]
    side, gap, head = 0.56, 0.04, 0.24
    wide = max(6.0, max(len(layer.values) for layer in layers) * (side + gap) + gap)
    heights = [side * layer.values.shape[1] / layer.values.shape[2] for layer in layers]
    start = 0.25 + picture.shape[1] / picture.shape[2] + 0.1
    figure, axes = _sheet(wide, start + sum(heights) + head * len(layers) + gap)
    axes.text(gap, 0.2, canvas.short(title, 90), va="bottom")
    _show(axes, _colours(picture), gap, 0.25, 1.0)
    top = start
    for layer, height in zip(layers, heights, strict=True):
        low, high = float(layer.values.min()), float(layer.values.max())
        top += head
        heading = axes.text(gap, top - 0.05, canvas.short(layer.heading, 70), va="bottom", fontsize=8)
        scale = f"{' × '.join(map(str, layer.shape))}, {low:.3g} to {high:.3g}".replace("-", "−")
        beside: dict[str, Any] = {"xycoords": heading, "xytext": (8, 0), "textcoords": "offset points"}
        axes.annotate(scale, (1, 0), **beside, va="bottom", color=MUTED, fontsize=8, annotation_clip=False)
        for index, each in enumerate((layer.values - low) / ((high - low) or 1.0)):
            _show(axes, viridis(each)[..., :3], gap + index * (side + gap), top, side)
        top += height
    return figure


def _sheet(width: float, height: float) -> "tuple[Figure, Axes]":
    """A figure of that size in inches with axes in inches from its upper left corner, to place pictures and text."""
    from matplotlib.figure import Figure

    figure = Figure((width, height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    axes.axis("off")
    return figure, axes


def _show(axes: "Axes", pixels: np.ndarray, x: float, top: float, width: float) -> None:
    """Draw pixels (H, W, 3) at a place on a sheet, enlarged pixel by pixel."""
    height = width * pixels.shape[0] / pixels.shape[1]
    extent = (x, x + width, top + height, top)
    axes.imshow(pixels, extent=extent, interpolation="none", aspect="auto")


def _colours(image: np.ndarray) -> np.ndarray:
    """The pixels (H, W, 3) of an image (C, H, W), grey or RGB."""
    return np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)


def _diverging(values: np.ndarray) -> np.ndarray:
    """Colours (H, W, 3) of values (H, W): -1 vermilion, 0 white, 1 blue."""
    strength = np.abs(values)[..., None]
    colours = np.where(values[..., None] > 0, canvas.rgb(BLUE), canvas.rgb(VERMILION))
    return np.asarray(1 - strength * (1 - colours))
