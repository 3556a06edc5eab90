"""Draw the pictures of `docs/transfer.md` that no command of the package draws: from networks, results and runs.

    python benchmarks/figures.py [--pretrained RUN --random RUN]

``transfer-maps.png`` from the networks themselves, ``transfer-small-images.png`` from the newest results of
`small_images.py`, and, with two finished runs, ``transfer-curves.png`` from their metrics.
"""

import argparse
import json
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes import RESULTS
from torch import nn

from thirtytwo.models.classifier import build_network
from thirtytwo.models.summary import summarise
from thirtytwo.report.figures import canvas
from thirtytwo.report.figures.canvas import BLUE, INK, MUTED, VERMILION
from thirtytwo.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
COLOURS = (MUTED, BLUE, VERMILION, INK)
MAPS = {
    "resnet18": ["", "stem='small'", "input=96"],
    "mobilenet_v3_small": ["", "stem='small'", "input=96"],
    "vgg19": ["", "last_pool='identity'", "input=64"],
}
SHOWN = ["mobilenet_v3_small", "resnet18", "resnet50", "vgg19"]


@canvas.drawn
def maps() -> "Figure":
    """The side of the maps that layers with kernels give, for a picture of 32 pixels, and what an image costs."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, NullLocator

    figure = Figure((8.4, 3.3), layout="constrained", facecolor="white")
    planes = figure.subplots(1, len(MAPS), sharey=True)
    for plane, (name, options) in zip(planes, MAPS.items(), strict=True):
        for option, colour in zip(options, COLOURS, strict=False):
            network = build_network(f"torchvision/{name}({option})", 3, 10, (32, 32))
            found = summarise(network, 3, (32, 32))
            layers = [row for row in found.rows if _slides(network.get_submodule(row.name))]
            sides = [row.output[-1] for row in layers if row.output]
            label = f"{option or 'none'}: {found.mflop:,.0f} MFLOP"
            plane.step(range(1, len(sides) + 1), sides, where="mid", color=colour, label=label)
        plane.set_yscale("log", base=2)
        plane.set_yticks([1, 2, 4, 8, 16, 32, 64], [f"{side}" for side in (1, 2, 4, 8, 16, 32, 64)])
        plane.yaxis.set_minor_locator(NullLocator())
        plane.tick_params(length=0)
        plane.set_title(name, loc="left", fontsize=9.5, color=INK)
        plane.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        plane.set_xlabel("convolutions and max-pools, in order")
        plane.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), handlelength=1.4, fontsize=8)
    planes[0].set_ylabel("side of its maps, pixels")
    return figure


def _slides(module: nn.Module) -> bool:
    """Whether a module looks at neighbouring pixels."""
    return isinstance(module, nn.MaxPool2d) or (isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1)


@canvas.drawn
def small_images(results: dict[str, dict[str, Any]]) -> "Figure":
    """Val accuracy of each network and option: a tick a seed, and the mean with its interval over seeds."""
    from matplotlib.figure import Figure

    heights = [len(found["arms"]) + 0.8 for found in results.values()]
    figure = Figure((6.2, 0.5 + 0.27 * sum(heights)), layout="constrained", facecolor="white")
    planes = figure.subplots(len(results), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for plane, (name, found) in zip(planes, results.items(), strict=True):
        for y, row in enumerate(found["arms"].values()):
            accuracy, gain = row["accuracy"], row["difference"]
            colour = MUTED if not y or gain["low"] <= 0 <= gain["high"] else BLUE if gain["mean"] > 0 else VERMILION
            if not isnan(accuracy["low"]):
                ends = [accuracy["low"], accuracy["high"]]
                plane.plot(ends, [y, y], color=colour, alpha=0.3, lw=7, solid_capstyle="butt")
            plane.plot(row["accuracies"], [y] * len(row["accuracies"]), "|", color=INK, markersize=7)
            plane.plot(accuracy["mean"], y, "o", color=colour, markersize=6)
        plane.set_yticks(range(len(found["arms"])), [*found["arms"]])
        plane.set_ylim(len(found["arms"]) - 0.4, -0.6)
        plane.tick_params(length=0)
        plane.tick_params(axis="y", labelcolor=INK)
        plane.set_title(name, loc="left", fontsize=9.5, color=INK)
    planes[-1].xaxis.set_major_formatter(canvas.percent)
    planes[-1].set_xlabel("val accuracy, 95 % interval over seeds")
    return figure


@canvas.drawn
def curves(runs: dict[str, Run]) -> "Figure":
    """Val accuracy (solid) and training accuracy (dashed) over the epochs."""
    figure, plane = canvas.axes(5.3, 3.2)
    for (name, run), colour in zip(runs.items(), (BLUE, VERMILION), strict=True):
        for key, style, what in (("val_accuracy", "-", "val"), ("train_accuracy", (0, (3, 1.5)), "train")):
            lines = [line for line in run.metrics() if line.get(key) is not None]
            epochs, values = [line["epoch"] for line in lines], [line[key] for line in lines]
            plane.plot(epochs, values, color=colour, linestyle=style, label=f"{name}, {what}")
    plane.yaxis.set_major_formatter(canvas.percent)
    plane.set(xlabel="epoch", ylabel="accuracy", xlim=(0, None))
    plane.legend(loc="lower right", handlelength=2.2)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pretrained", metavar="RUN", type=Path)
    parser.add_argument("--random", metavar="RUN", type=Path)
    options = parser.parse_args()
    canvas.png(maps(), FIGURES / "transfer-maps.png")
    newest = {name: max(RESULTS.glob(f"small-images-{name}-*.json"), default=None) for name in SHOWN}
    results = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in newest.items() if path}
    if results:
        canvas.png(small_images(results), FIGURES / "transfer-small-images.png")
    if options.pretrained and options.random:
        runs = {"from ImageNet": Run.open(options.pretrained), "from random weights": Run.open(options.random)}
        canvas.png(curves(runs), FIGURES / "transfer-curves.png")


if __name__ == "__main__":
    main()
