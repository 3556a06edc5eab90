"""The figure of a learning-rate range test."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from thirtytwo.figures import canvas
from thirtytwo.figures.canvas import BLUE, INK, MUTED, PAPER, VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEADROOM = 0.15
"""Margin below and above the losses, as a share of their span; an explosion leaves through the upper edge."""


@canvas.drawn
def loss_over_rate(
    rates: Sequence[float],
    losses: Sequence[float],
    centres: Sequence[float],
    smoothed: Sequence[float],
    *,
    name: str,
    own: float,
    lowest: int | None,
    suggestion: float | None,
) -> "Figure":
    """The loss of each batch (dots) and the smoothed loss (line) over the learning rate, on a logarithmic axis.

    The line is blue down to the step ``lowest``, where it is not None, and vermilion after it. The suggestion is
    marked, and the recipe's ``own`` rate where it is in the range. ``name`` is the recipe's.
    """
    from matplotlib.ticker import FuncFormatter, NullFormatter

    figure, axes = canvas.axes(5.3, 3.4)
    turn = (len(losses) - 1 if lowest is None else lowest) + 1
    axes.set_xscale("log")
    if rates[0] <= own <= rates[-1]:
        dots = (0, (1, 1.5))
        axes.axvline(own, color=MUTED, linewidth=1, linestyle=dots, zorder=1, label=f"recipe's rate, {own:g}")
    axes.plot(rates, losses, "o", color=MUTED, alpha=0.5, markersize=3, markeredgewidth=0, label="loss of a batch")
    axes.plot(centres[turn - 1 :], smoothed[turn - 1 :], color=VERMILION)
    axes.plot(centres[:turn], smoothed[:turn], color=BLUE, label="smoothed")
    bottom, top = min(losses), min(max(losses[:turn]), 2 * losses[0])
    axes.set_ylim(bottom - HEADROOM * (top - bottom), top + HEADROOM * (top - bottom))
    found = "no rate lowers the loss"
    if lowest is not None and suggestion is not None:
        found = f"optim.lr={suggestion:g}"
        height = float(np.interp(np.log(suggestion), np.log(centres), smoothed))
        axes.vlines(suggestion, axes.get_ylim()[0], height, color=BLUE, linewidth=1.2)
        _mark(axes, suggestion, height, BLUE, f"suggested, {suggestion:g}", (7, 5), "bold")
        _mark(axes, centres[lowest], smoothed[lowest], PAPER, f"lowest, {centres[lowest]:.2g}", (0, -14), "normal")
    axes.set_title(f"{canvas.short(name, 40)}: {found}", loc="left", fontsize=9.5, color=INK)
    axes.set(xlabel="learning rate, optim.lr", ylabel="training loss")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    figure.legend(loc="outside lower center", ncols=3, handlelength=1.6, columnspacing=1.6)
    return figure


def _mark(
    axes: "Axes", rate: float, loss: float, fill: str, text: str, shift: tuple[float, float], weight: str
) -> None:
    """Draw a dot on the curve and, ``shift`` points away, a label."""
    axes.plot(rate, loss, "o", color=fill, markeredgecolor=BLUE, markeredgewidth=1.5, markersize=6.5, zorder=4)
    axes.annotate(
        text,
        (rate, loss),
        shift,
        textcoords="offset points",
        ha="left" if shift[0] else "center",
        color=INK,
        weight=weight,
        bbox={"boxstyle": "round,pad=0.15", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.8},
    )
