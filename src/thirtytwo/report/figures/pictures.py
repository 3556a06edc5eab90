"""Figures of pictures, and of an image set."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from thirtytwo.report.figures import canvas
from thirtytwo.report.figures.canvas import BLUE, INK, MUTED, VERMILION

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    """Images a class, one bar a split (``{"train": [..], "val": [..], "test": [..]}``), in class order."""
    k, splits = len(classes), list(counts)
    figure, axes = canvas.axes(5.3, 0.75 + 0.3 * max(k, 2) if k <= canvas.BARS_SHOWN else 4.0)
    left = np.zeros(k)
    for split, color, alpha in zip(splits, (BLUE, VERMILION, MUTED), (0.85, 0.85, 0.6), strict=False):
        values = np.asarray(counts[split], dtype=float)
        if k <= canvas.BARS_SHOWN:
            axes.barh(range(k), values, 0.72, left=left, color=color, alpha=alpha, label=split)
        else:
            axes.bar(range(k), values, 1.0, bottom=left, color=color, alpha=alpha, label=split)
        left += values
    if k <= canvas.BARS_SHOWN:
        axes.set_yticks(range(k), [canvas.short(name) for name in classes])
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
