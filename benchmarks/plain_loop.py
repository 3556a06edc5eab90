"""Images per second of one network in the loop that tutorials write, and through thirtytwo.

    python benchmarks/plain_loop.py --cifar10 path/to/cifar10 --mnist path/to/mnist

The plain loop is a DataLoader with two worker processes over PIL images, torchvision's transforms image by image,
float32 and torch's own SGD. Both train the same module with the same batch, optimizer, loss and augmentation (crop and
flip; on MNIST the crop alone). The sides take turns, each in a process of its own; what is counted are whole steps,
loading included, after some that are not. ``feed`` is the loading alone. Prints the rates and their ratio with its
95 % interval over rounds (t, of the logarithm), and writes every single rate to ``benchmarks/results/``.
"""

import argparse
import json
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch
from origins_control import Pictures
from processes import PeakMemory
from record import in_turns, keep, per_second, ratio, shown
from step_rate import best_rate
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms

from thirtytwo import recipes
from thirtytwo.device import Device
from thirtytwo.recipe import Recipe
from thirtytwo.runs.loading import load_splits
from thirtytwo.training.build import build
from thirtytwo.training.loop import advance

NETWORKS = {"resnet18": "cifar10-resnet18", "cnn2": "mnist-cnn2"}
"""For each network, the recipe whose batch and optimizer both sides use."""
WARM = 2
"""Seconds of steps that are not counted, at most as many as those that are."""


def plain(recipe: Recipe, seconds: float, train: bool) -> float:
    """Images per second in a plain loop; without ``train``, of its DataLoader alone."""
    parts = build(recipe, Device.choose("cpu", "float32"), load_splits(recipe))
    images = parts.splits.train
    size, colour = images.size, images.channels == 3
    mean, std = (each.tolist() for each in images.statistics())
    changes = [transforms.RandomCrop(size, padding=4 if colour else 2)]
    changes += [transforms.RandomHorizontalFlip()] if colour else []
    pictures = Pictures(images, transforms.Compose([*changes, transforms.ToTensor(), transforms.Normalize(mean, std)]))
    batch, network = parts.feed.batch_size, parts.model.network
    options: dict[str, Any] = {"shuffle": True, "drop_last": True, "persistent_workers": True}
    loader = DataLoader(pictures, batch, num_workers=2, multiprocessing_context="fork", **options)
    optim = recipe.optim
    optimizer = torch.optim.SGD(
        network.parameters(), lr=optim.lr, momentum=optim.momentum, nesterov=True, weight_decay=optim.weight_decay
    )
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.train.label_smoothing)
    network.train().to(memory_format=torch.contiguous_format)

    def steps() -> Iterator[None]:
        while True:
            for found, labels in loader:
                if train:
                    optimizer.zero_grad()
                    criterion(network(found), labels).backward()
                    optimizer.step()
                yield

    return _rate(steps(), batch, seconds)


def ours(recipe: Recipe, seconds: float, train: bool) -> float:
    """Images per second through thirtytwo; without ``train``, of its feed alone."""
    device = Device.choose("cpu", recipe.train.precision)
    parts = build(recipe, device, load_splits(recipe))
    forward = parts.forward

    def steps() -> Iterator[None]:
        for step in range(10**9):
            if train:
                advance(parts, forward, step, 0.1)
            else:
                parts.feed.batch(step)
            yield

    with device.training():
        return _rate(steps(), parts.feed.batch_size, seconds)


def _rate(steps: Iterator[None], batch: int, seconds: float) -> float:
    return batch * per_second(lambda: next(steps), seconds, warm=min(WARM, seconds))


def alternately(sides: dict[str, tuple[Callable[..., float], Recipe]], rounds: int, *words: Any) -> dict[str, Any]:
    """The rates of all sides, by turns, each measured in a new process; and how many times the first one's they are."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    memory = dict.fromkeys(sides, 0)
    spawn = multiprocessing.get_context("spawn")
    for name in in_turns(sides, rounds):
        side, recipe = sides[name]
        with PeakMemory() as peak, ProcessPoolExecutor(1, mp_context=spawn) as process:
            rates[name].append(process.submit(side, recipe, *words).result())
        memory[name] = max(memory[name], round(peak.MB))
        print(f"{name:<22}{rates[name][-1]:>10,.0f} img/s", flush=True)
    first = next(iter(sides))
    ratios = {name: ratio(rates[name], rates[first]) for name in list(sides)[1:]}
    return {"rates": rates, "ratios": ratios, "peak_MB": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help=f"of {', '.join(NETWORKS)}; default: all")
    parser.add_argument("--cifar10", default="cifar10", help="a source of CIFAR-10, such as a path")
    parser.add_argument("--mnist", default="mnist", help="a source of MNIST")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement")
    parser.add_argument("--step-rate", type=float, help="images per second of step_rate.py, if it was just measured")
    options = parser.parse_args()
    if unknown := set(options.networks) - set(NETWORKS):
        parser.error(f"unknown network {', '.join(sorted(unknown))}: choose from {', '.join(NETWORKS)}")
    found: dict[str, Any] = {"step_rate": options.step_rate or best_rate()["best"]}
    for name in options.networks:
        grey = NETWORKS[name].startswith("mnist")
        recipe = recipes.find(NETWORKS[name]).override(
            {
                "data.source": options.mnist if grey else options.cifar10,
                "augment": "translate(2, padding='zero')" if grey else "flip|translate(4, padding='zero')",
                "train.epochs": 10_000,
            }
        )
        slow, fast = (recipe.override({"train.precision": each}) for each in ("float32", "auto"))
        trainings = {"plain": (plain, slow), "ours, float32": (ours, slow), "ours": (ours, fast)}
        found[name] = alternately(trainings, options.rounds, options.seconds, True)
        feeds = {"plain feed": (plain, slow), "our feed": (ours, slow)}
        found[f"{name}, feed"] = alternately(feeds, options.rounds, options.seconds / 4, False)
        for key in (name, f"{name}, feed"):
            for side, times in found[key]["ratios"].items():
                print(f"{key}, {side}: {shown(times)} times the plain loop's")
    print(json.dumps({"step_rate": found["step_rate"]}))
    keep("plain-loop", found)


if __name__ == "__main__":
    main()
