"""How a training step's time grows: with the batch, the network's width, the images' size and their number.

    python benchmarks/growth.py path/to/cifar10

`speednet` with one of the four changed at a time, in turn, several times over. The time is that of whole steps, from
loading to the update. Prints milliseconds a step, and the exponent with which the time grows at the upper
end: 1 means that twice as much takes twice as long.
"""

import argparse
from itertools import count
from typing import Any

import numpy as np
from record import keep, per_second, summary
from step_rate import best_rate

from thirtytwo import recipes
from thirtytwo.device import Device
from thirtytwo.recipe import Recipe
from thirtytwo.runs.loading import load_splits
from thirtytwo.training.build import build
from thirtytwo.training.loop import advance

GROWING: dict[str, list[int]] = {
    "train.batch_size": [16, 32, 64, 128, 256, 512, 1024],
    "width": [16, 32, 64, 128, 256, 512],
    "data.size": [8, 16, 32, 64, 96],
    "data.limit": [1000, 4000, 16_000, 48_000],
}


def settings(axis: str, value: int) -> dict[str, Any]:
    """The recipe's changes for one point."""
    common = {"train.batch_size": 128, "data.limit": 4000, "data.size": 32, "train.start_scale": 1}
    width = value if axis == "width" else 64
    changed = {} if axis == "width" else {axis: value}
    return {**common, "model": f"speednet(widths=({width}, {width}, {width}))", "data.val": 100, **changed}


def step(recipe: Recipe, seconds: float) -> float:
    """Milliseconds of a step."""
    device = Device.choose("auto", recipe.train.precision)
    parts = build(recipe, device, load_splits(recipe))
    forward, steps = parts.forward, count()
    with device.training():
        rate = per_second(
            lambda: advance(parts, forward, next(steps), 0.1), seconds, warm=seconds / 2, wait=device.wait
        )
    return 1000 / rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", help="a source of CIFAR-10, such as a path")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--points", type=int, help="the smallest so many of each of the four; default: all")
    parser.add_argument("--seconds", type=float, default=2, help="of each measurement")
    parser.add_argument("--step-rate", type=float, help="images per second of step_rate.py, if it was just measured")
    options = parser.parse_args()
    base = recipes.find("cifar10-fast").override({"data.source": options.source, "train.epochs": 10_000})
    rate = options.step_rate or best_rate()["best"]
    points = [(axis, value) for axis, values in GROWING.items() for value in values[: options.points]]
    found: dict[tuple[str, int], list[float]] = {point: [] for point in points}
    for turn in range(options.rounds):
        for point in points[:: -1 if turn % 2 else 1]:
            found[point].append(step(base.override(settings(*point)), options.seconds))
    table: dict[str, dict[int, dict[str, float]]] = {axis: {} for axis in GROWING}
    exponents = {}
    for (axis, value), times in found.items():
        table[axis][value] = summary(times)
        low, mean, high = (table[axis][value][key] for key in ("low", "mean", "high"))
        print(f"{axis} {value:>7,}: {mean:>9.1f} ms a step [{low:.1f}, {high:.1f}]", flush=True)
    for axis, means in table.items():
        (x0, t0), (x1, t1) = ((value, means[value]["mean"]) for value in list(means)[-2:])
        exponents[axis] = float(np.log(t1 / t0) / np.log(x1 / x0))
        print(f"{axis}: the time grows with its power of {exponents[axis]:.2f} between {x0:,} and {x1:,}")
    keep("growth", {"step_rate": rate, "step_ms": table, "exponents": exponents})


if __name__ == "__main__":
    main()
