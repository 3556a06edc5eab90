"""What a machine can do: rates of what a training is made of, and the advice that follows.

Every rate is the median of `REPEATS`, each over at least `SECONDS`, after a pass that is not counted.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from thirtytwo import recipes
from thirtytwo.data.imageset import ImageSet, Official
from thirtytwo.data.split import Splits, make_splits
from thirtytwo.device import Device
from thirtytwo.recipe import Recipe
from thirtytwo.training.build import build
from thirtytwo.training.feed import Feed
from thirtytwo.training.loop import advance
from thirtytwo.words import plural

REPEATS, SECONDS = 3, 0.4
PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}
BATCHES = (32, 128, 512)
GPU = 8
"""On a GPU batches are this many times larger."""
RECIPE = "cifar10-fast"
"""Whose step is measured, on images of CIFAR-10's size."""
IMAGES = 4096
BATCH = 512
"""Images per step where the batch is not what is compared."""
THREADED = 128
"""Images per step where numbers of threads are compared."""
CLOSE = 0.95
"""A batch is large enough if its rate is this share of the best."""


@dataclass(frozen=True)
class Bench:
    """What was measured on one device.

    Attributes:
        device: as `Device.describe` has it.
        products: multiplications and additions per second of a large matrix product, by precision.
        convolutions: those of a 3x3 convolution of 256 channels with its backward pass, by precision.
        feed: images per second that are gathered, flipped and shifted.
        steps: images per second of training `RECIPE`, by precision.
        batches: likewise by batch size, in the better precision.
        threads: likewise by the number of threads, on a processor.
    """

    device: dict[str, Any]
    products: dict[str, float]
    convolutions: dict[str, float]
    feed: float
    steps: dict[str, float]
    batches: dict[int, float]
    threads: dict[int, float]

    @property
    def precision(self) -> str:
        """In which a training is faster."""
        return max(self.steps, key=lambda name: self.steps[name])

    def advice(self) -> list[str]:
        """One sentence each, the most useful first."""
        better, worse = self.precision, min(self.steps, key=lambda name: self.steps[name])
        gain = self.steps[better] / self.steps[worse]
        advice = "as train.precision=auto does"
        if self.device["precision"] != better:
            advice = f"set train.precision={better}, as auto chooses {self.device['precision']}"
        told = [f"{better} trains {gain:.1f} times as fast as {worse}: use it, {advice}"]
        best = max(self.batches.values())
        enough = min(size for size, rate in self.batches.items() if rate >= CLOSE * best)
        told.append(
            f"batches of {plural(enough, 'image')} or more use the device fully; with fewer, an epoch takes longer"
        )
        most = max(self.threads, default=1)
        if most > 1:
            gain = self.threads[most] / self.threads[1]
            told.append(
                f"{most} threads train {gain:.2f} times as fast as one: trainings side by side, a thread each, as in a "
                "study, use the cores better"
            )
        told.append(
            f"an epoch of CIFAR-10's 50,000 images at their own size takes {RECIPE} {50_000 / best:,.0f} s here; "
            f"feeding them is {best / self.feed:.1%} of that"
        )
        return told

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {**asdict(self), "advice": self.advice()}


def bench(device: str = "auto", told: Callable[[str], object] = lambda what: None) -> Bench:
    """Measure a device, in about a minute. ``told`` hears what is measured next."""
    chosen = Device.choose(device)
    with torch.random.fork_rng(devices=[]), chosen.training():
        torch.manual_seed(0)
        told("matrix products")
        products = {name: _product(chosen, dtype) for name, dtype in PRECISIONS.items()}
        told("convolutions")
        convolutions = {name: _convolution(Device(chosen.torch, name)) for name in PRECISIONS}
        told("the feed")
        splits = _splits()
        feed = _feed(splits.train, chosen)
        told("training steps")
        larger = GPU if chosen.torch.type == "cuda" else 1
        steps = {name: _step(splits, Device(chosen.torch, name), larger * BATCH) for name in PRECISIONS}
        better = Device(chosen.torch, max(steps, key=lambda name: steps[name]))
        told("batch sizes")
        others = {larger * size: _step(splits, better, larger * size) for size in BATCHES if size != BATCH}
        batches = dict(sorted({**others, larger * BATCH: steps[better.precision]}.items()))
        told("threads")
        threads = {}
        for count in sorted({1, torch.get_num_threads()}) if chosen.torch.type == "cpu" else ():
            with _threads(count):
                threads[count] = _step(splits, better, THREADED)
    return Bench(chosen.describe(), products, convolutions, feed, steps, batches, threads)


def _rate(act: Callable[[], object], amount: float, device: Device) -> float:
    """How often per second ``act`` does what ``amount`` counts."""
    act()
    found = []
    for _ in range(REPEATS):
        device.wait()
        began, passes = time.perf_counter(), 0
        while time.perf_counter() - began < SECONDS:
            act()
            passes += 1
            device.wait()
        found.append(amount * passes / (time.perf_counter() - began))
    return median(found)


def _product(device: Device, dtype: torch.dtype) -> float:
    side = 8192 if device.torch.type == "cuda" else 2048
    left, right = (torch.randn(side, side, device=device.torch, dtype=dtype) for _ in range(2))
    return _rate(lambda: left @ right, 2 * side**3, device)


def _convolution(device: Device) -> float:
    images, width, side = (1024 if device.torch.type == "cuda" else 64), 256, 14
    layer = nn.Conv2d(width, width, 3, padding=1, bias=False, device=device.torch)
    batch = torch.randn(images, width, side, side, device=device.torch).to(memory_format=torch.channels_last)
    layer.to(memory_format=torch.channels_last)
    batch.requires_grad_()

    def both_ways() -> None:
        with device.autocast():
            out: Tensor = layer(batch)
        out.float().sum().backward()

    return _rate(both_ways, 3 * 2 * images * side**2 * width**2 * 9, device)


def _splits() -> Splits:
    """Random images of CIFAR-10's size: what is in them makes no difference to the time."""
    images = torch.randint(256, (IMAGES + 200, 3, 32, 32), dtype=torch.uint8)
    labels = torch.arange(len(images)) % 10
    return make_splits(Official("random", ImageSet.of(images, labels, tuple("abcdefghij"))), val=100, test=100)


def _feed(images: ImageSet, device: Device) -> float:
    feed = Feed(images, batch_size=BATCH, augment="flip|translate(2)", device=device.torch)
    step = iter(range(10**9))
    return _rate(lambda: feed.batch(next(step)), BATCH, device)


def _step(splits: Splits, device: Device, batch: int) -> float:
    changes = {"train.batch_size": batch, "train.epochs": 1e6, "train.start_scale": 1}
    recipe: Recipe = recipes.find(RECIPE).override(changes)
    parts = build(recipe, device, splits)
    forward, step = parts.forward, iter(range(10**9))
    return _rate(lambda: advance(parts, forward, next(step), 0.1), batch, device)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
