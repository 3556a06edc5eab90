"""Draw the figures of `docs/transfer.md` and `docs/speed.md` that no command draws: from networks, results and runs.

    python benchmarks/figures.py

``transfer-maps.png`` and ``transfer-rates.png`` from the networks themselves, ``transfer-small-images.png`` from the
newest results of `small_images.py`, ``transfer-curves.png`` from what `runs.py` saved as ``finetune-squeezenet``, and
``speed-*.png`` from the newest results of `augmentations.py` and `growth.py`.
"""

from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from record import newest
from torch import nn

from thirtytwo.figures import canvas
from thirtytwo.figures.canvas import BLUE, GRID, INK, MUTED, VERMILION
from thirtytwo.models.classifier import build_network
from thirtytwo.models.stages import distances, plan, stages
from thirtytwo.models.summary import summarise
from thirtytwo.optim import schedules

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
COLOURS = (MUTED, BLUE, VERMILION, INK)
MAPS = {
    "resnet18": ["", "stem='small'", "input=96"],
    "mobilenet_v3_small": ["", "stem='small'", "input=96"],
    "vgg19": ["", "last_pool='identity'", "input=64"],
}
EPOCHS = 6
"""Length of the training that ``transfer-rates.png`` shows."""
SHOWN = ["mobilenet_v3_small", "resnet18", "resnet50", "vgg19"]


@canvas.drawn
def maps() -> "Figure":
    """The side of the maps that layers with kernels give, for a picture of 32 pixels, and the operations per image."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, NullLocator

    figure = Figure((8.4, 3.3), layout="constrained", facecolor="white")
    planes = figure.subplots(1, len(MAPS), sharey=True)
    for plane, (name, options) in zip(planes, MAPS.items(), strict=True):
        for option, colour in zip(options, COLOURS, strict=False):
            network = build_network(f"torchvision/{name}({option})", 3, 10, (32, 32))
            found = summarise(network, 3, (32, 32))
            layers = [row for row in found.rows if _slides(network.module.get_submodule(row.name))]
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
def rates() -> "Figure":
    """Each stage's learning rate over the epochs, as a share of the peak, under each way to hold stages back."""
    from matplotlib.figure import Figure

    network = build_network("torchvision/resnet18(stem='small')", 3, 10, (32, 32))
    names, schedule, far = [*stages(network)], schedules.build("cosine(warmup=0.1)"), distances(network)
    ways = {
        "freeze=to:layer4": ("to:layer4", None, 1.0),
        "freeze=all-but-head\nunfreeze_every=1": ("all-but-head", 1.0, 1.0),
        "layer_decay=0.7": ("none", None, 0.7),
    }
    epochs = np.linspace(0, EPOCHS, 240, endpoint=False)
    figure = Figure((8.4, 2.6), layout="constrained", facecolor="white")
    planes = figure.subplots(1, len(ways), sharey=True)
    for plane, (title, (freeze, every, decay)) in zip(planes, ways.items(), strict=True):
        since = plan(network, freeze, every)
        shares = np.array(
            [
                [
                    schedule(epoch / EPOCHS) * decay ** far[inside[0]] if epoch >= since.get(inside[0], 0) else np.nan
                    for epoch in epochs
                ]
                for inside in stages(network).values()
            ]
        )
        plane.set_facecolor(GRID)
        shown = plane.imshow(
            shares, aspect="auto", extent=(0, EPOCHS, len(names), 0), cmap="Blues", vmin=0, vmax=1, interpolation="none"
        )
        plane.set_yticks(np.arange(len(names)) + 0.5, names)
        plane.grid(visible=False)
        plane.tick_params(length=0)
        plane.set_title(title, loc="left", fontsize=8.5, color=INK)
        plane.set_xlabel("epoch")
    figure.colorbar(shown, ax=planes, label="share of the peak rate")
    return figure


@canvas.drawn
def small_images(results: dict[str, dict[str, Any]]) -> "Figure":
    """Val accuracy of each network and option: one tick per seed, and the mean with its interval over seeds."""
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
def curves(runs: dict[str, dict[str, Any]]) -> "Figure":
    """Val accuracy (solid) and training accuracy (dashed) over the epochs."""
    figure, plane = canvas.axes(5.3, 3.2)
    for (name, run), colour in zip(runs.items(), (BLUE, VERMILION), strict=True):
        for key, style, what in (("val_accuracy", "-", "val"), ("train_accuracy", (0, (3, 1.5)), "train")):
            lines = [line for line in run["metrics"] if line.get(key) is not None]
            epochs, values = [line["epoch"] for line in lines], [line[key] for line in lines]
            plane.plot(epochs, values, color=colour, linestyle=style, marker="o", markersize=4, label=f"{name}, {what}")
    plane.yaxis.set_major_formatter(canvas.percent)
    plane.set(xlabel="epoch", ylabel="accuracy", xlim=(0, None))
    plane.legend(loc="lower right", handlelength=2.2)
    return figure


@canvas.drawn
def augmentations(found: dict[str, Any]) -> "Figure":
    """Images per second of every augmentation, here and in two other packages, on a logarithmic axis."""
    names = sorted(found, key=lambda name: float(np.mean(found[name]["rates"]["thirtytwo"])))
    figure, plane = canvas.axes(6.2, 0.8 + 0.19 * len(names))
    for side, colour in zip(("thirtytwo", "kornia", "torchvision"), (BLUE, VERMILION, MUTED), strict=True):
        shown = [
            (float(np.mean(found[name]["rates"][side])), y)
            for y, name in enumerate(names)
            if side in found[name]["rates"]
        ]
        if shown:
            plane.plot(*zip(*shown, strict=True), "o", color=colour, markersize=5, label=side)
    plane.set_yticks(range(len(names)), names)
    plane.tick_params(length=0)
    plane.tick_params(axis="y", labelcolor=INK)
    plane.set_xscale("log")
    plane.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    plane.set(xlabel="images a second", ylim=(-0.6, len(names) - 0.4))
    plane.legend(loc="upper left", bbox_to_anchor=(0, 1.06), ncols=3)
    return figure


@canvas.drawn
def growth(found: dict[str, Any]) -> "Figure":
    """Milliseconds of a training step over each thing that grows, on two logarithmic axes."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    titles = {
        "train.batch_size": "images in a batch",
        "width": "filters of each layer",
        "data.size": "side of the images, pixels",
        "data.limit": "images in the data set",
    }
    figure = Figure((8.4, 2.6), layout="constrained", facecolor="white")
    planes = figure.subplots(1, len(titles), sharey=True)
    for plane, (axis, title) in zip(planes, titles.items(), strict=True):
        points = {int(value): times["mean"] for value, times in found["step_ms"][axis].items()}
        plane.plot([*points], [*points.values()], "o-", color=BLUE, markersize=4.5)
        plane.set(xscale="log", yscale="log", xlabel=title)
        plane.set_xticks([*points], [f"{value:,}" for value in points], rotation=45, fontsize=7.5)
        plane.xaxis.set_minor_locator(NullLocator())
        plane.tick_params(length=0)
        plane.set_title(f"power of {found['exponents'][axis]:.2f} at the end", loc="left", fontsize=8.5, color=INK)
    planes[0].yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    planes[0].set_ylabel("a step, ms")
    return figure


def main() -> None:
    canvas.png(maps(), FIGURES / "transfer-maps.png")
    canvas.png(rates(), FIGURES / "transfer-rates.png")
    results = {name: found for name in SHOWN if (found := newest(f"small-images-{name}"))}
    canvas.png(small_images(results), FIGURES / "transfer-small-images.png")
    if found := newest("finetune-squeezenet"):
        canvas.png(curves(found["runs"]), FIGURES / "transfer-curves.png")
    if found := newest("augmentations"):
        canvas.png(augmentations(found["augmentations"]), FIGURES / "speed-augmentations.png")
    if found := newest("growth"):
        canvas.png(growth(found), FIGURES / "speed-growth.png")


if __name__ == "__main__":
    main()
