"""The origins' networks in a plain PyTorch loop and through thirtytwo: is the accuracy the same, and which is faster?

    python benchmarks/origins_control.py --cifar10 path/to/cifar10 --mnist path/to/mnist --seeds 3

The plain loop is the one that tutorials write: the network spelt out, a DataLoader over PIL images with torchvision's
transforms image by image, float32, torch's own optimizer and schedule. From thirtytwo it takes the images of the split
and nothing else. What decides the result is the same in both: the recipe's batch size, optimizer, rate, weight decay
(of filters and weights, not of norms and biases), label smoothing and epochs; but AdamW and batches of 128 where the
recipe uses Muon, and a cosine without warm-up where its rate changes. In both, the augmentation is what `RandomCrop`
and `RandomHorizontalFlip` do; the tutorial has none. Both score val after each epoch, and never see test; the time is
that of the steps and the scorings, without loading data. Each training has a process of its own; the two take turns in
going first. Prints a table and writes every single result to ``benchmarks/results/``.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
import torch
from PIL import Image
from record import keep, summary
from scipy import stats
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

import thirtytwo
from thirtytwo import recipes
from thirtytwo.data.imageset import ImageSet
from thirtytwo.recipe import Recipe
from thirtytwo.runs.loading import load_splits

NETWORKS = {
    "lenet": "cifar10-tutorial",
    "vgg8": "cifar10-vgg8",
    "cnn2": "cifar10-cnn2",
    "cnn2-mnist": "mnist-cnn2",
    "cnn9": "cifar10-cnn9",
}
"""For each origin's network, the recipe whose settings both loops use."""
STANDARD = {"optim.name": "adamw", "optim.lr": 0.002, "optim.weight_decay": 0.01, "train.batch_size": 128}
"""Used in place of an optimizer that torch's tutorials do not have."""
PLAIN = {
    "average": "none",
    "optim.bias_lr": None,
    "optim.head_lr": None,
    "optim.clip": None,
    "train.patience": None,
    "train.class_weights": "none",
    "train.eval_every": 1.0,
    "evaluate.views": "none",
}
"""Settings that remove from a recipe what a plain loop does not have."""
TRIAL_IMAGES = 1024
"""Images that the plain loop trains on with each number of workers before the clock starts, to find the faster number;
the second half is timed."""


def convolution(inputs: int, outputs: int) -> list[nn.Module]:
    """A 3x3 convolution, same-padded, with batch norm and ReLU."""
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]


def pair(inputs: int, outputs: int, dropout: float = 0.0) -> list[nn.Module]:
    """Two convolutions, dropout where there is any, and a max-pool."""
    dropped = [nn.Dropout2d(dropout)] if dropout else []
    return [*convolution(inputs, outputs), *convolution(outputs, outputs), *dropped, nn.MaxPool2d(2)]


def cnn2(channels: int, side: int) -> nn.Module:
    """Origin 003's network."""
    first = [nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    second = [nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(32 * (side // 4) ** 2, 10))


def lenet() -> nn.Module:
    """Origin 002's network, the tutorial's."""
    first = [nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2)]
    second = [nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    linear = [nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)]
    return nn.Sequential(*first, *second, *linear)


def vgg8() -> nn.Module:
    """Origin 001's network; cross-entropy of log-probabilities is their negative log-likelihood."""
    pairs = [*pair(3, 64, 0.05), *pair(64, 128, 0.05), *pair(128, 256, 0.05), *pair(256, 256, 0.05), nn.Flatten()]
    linear = [nn.Linear(1024, 256), nn.ReLU(), nn.Dropout(0.05), nn.Linear(256, 10), nn.LogSoftmax(1)]
    return nn.Sequential(*pairs, *linear)


def cnn9() -> nn.Module:
    """Origin 004's network."""
    pairs = [*pair(3, 64), *pair(64, 128), *pair(128, 256), nn.Flatten()]
    linear = [nn.Linear(4096, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)]
    return nn.Sequential(*pairs, *linear)


PLAIN_NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "lenet": lenet,
    "vgg8": vgg8,
    "cnn2": lambda: cnn2(3, 32),
    "cnn2-mnist": lambda: cnn2(1, 28),
    "cnn9": cnn9,
}


class Pictures(Dataset):
    """An image set in the form of torchvision's data sets: one PIL image per item, then the transform."""

    def __init__(self, images: ImageSet, transform: Callable[[Image.Image], torch.Tensor]) -> None:
        pixels = images.images.permute(0, 2, 3, 1).numpy()
        self.pixels = pixels[..., 0] if images.channels == 1 else pixels
        self.labels = images.labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def plain(name: str, recipe: Recipe) -> dict[str, Any]:
    """Train the recipe's network in a plain loop: val accuracy and seconds."""
    splits = load_splits(recipe)
    size, colour = splits.train.size, splits.train.channels == 3
    mean, std = (each.tolist() for each in splits.train.statistics())
    standard = [transforms.ToTensor(), transforms.Normalize(mean, std)]
    changes = [transforms.RandomCrop(size, padding=4 if colour else 2)] if recipe.augment != "none" else []
    changes += [transforms.RandomHorizontalFlip()] if changes and colour else []
    pictures = Pictures(splits.train, transforms.Compose([*changes, *standard]))
    batch = min(recipe.train.batch_size, len(pictures))
    epochs = int(recipe.train.epochs)
    steps = epochs * (len(pictures) // batch)

    def parts() -> tuple[nn.Module, torch.optim.Optimizer, nn.Module]:
        network = PLAIN_NETWORKS[name]()
        return network, _optimizer(network, recipe), nn.CrossEntropyLoss(label_smoothing=recipe.train.label_smoothing)

    def loader(pictures: Pictures, batch: int, workers: int, **options: bool) -> DataLoader:
        # A tutorial's workers are forks; in a spawned process they would be spawned too, which takes seconds each.
        many = {"num_workers": workers, "persistent_workers": True, "multiprocessing_context": "fork"}
        return DataLoader(pictures, batch, **(many if workers else {}), **options)

    def trial(workers: int) -> float:
        batches = iter(loader(pictures, batch, workers, shuffle=True, drop_last=True))
        network, optimizer, criterion = parts()
        half = max(1, TRIAL_IMAGES // batch // 2)
        _train(network, islice(batches, half), optimizer, criterion)  # the workers' head start is used up
        began = time.perf_counter()
        _train(network, islice(batches, half), optimizer, criterion)
        return time.perf_counter() - began

    workers = min((0, 2), key=trial)
    torch.manual_seed(recipe.seed)
    batches = loader(pictures, batch, workers, shuffle=True, drop_last=True)
    val = loader(Pictures(splits.val, transforms.Compose(standard)), 500, workers)
    network, optimizer, criterion = parts()
    falls = recipe.schedule == "cosine"
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps) if falls else None
    began = time.perf_counter()
    for _ in range(epochs):
        _train(network, batches, optimizer, criterion, scheduler)
        accuracy = _accuracy(network, val)
    return {"accuracy": accuracy, "seconds": time.perf_counter() - began, "workers": workers}


def ours(name: str, recipe: Recipe) -> dict[str, Any]:
    """Train the same through thirtytwo: val accuracy and seconds."""
    with tempfile.TemporaryDirectory() as folder:
        run = thirtytwo.train(recipe, out=folder, test=False, progress=False)
        accuracy, env = run.scores("val")["accuracy"].value, run.run.env
        assert run.card["parameters"] == sum(each.numel() for each in PLAIN_NETWORKS[name]().parameters())
        return {"accuracy": accuracy, "seconds": run.run.status["seconds"], "precision": env["precision"]}


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """torch's own, with weight decay on parameters of two or more dimensions."""
    optim, parameters = recipe.optim, list(network.parameters())
    groups = [
        {"params": [each for each in parameters if each.ndim >= 2], "weight_decay": optim.weight_decay},
        {"params": [each for each in parameters if each.ndim < 2], "weight_decay": 0.0},
    ]
    if optim.name == "sgd":
        nesterov = optim.nesterov and optim.momentum > 0
        return torch.optim.SGD(groups, lr=optim.lr, momentum=optim.momentum, nesterov=nesterov)
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[optim.name](groups, lr=optim.lr, betas=optim.betas)


def _train(
    network: nn.Module,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    optimizer: torch.optim.Optimizer,
    criterion: nn.Module,
    scheduler: torch.optim.lr_scheduler.CosineAnnealingLR | None = None,
) -> None:
    network.train()
    for images, labels in batches:
        optimizer.zero_grad()
        criterion(network(images), labels).backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()


@torch.no_grad()
def _accuracy(network: nn.Module, batches: DataLoader) -> float:
    network.eval()
    right = [network(images).argmax(1) == labels for images, labels in batches]
    return float(torch.cat(right).double().mean())


def alternating(name: str, recipe: Recipe, seeds: int) -> Iterator[dict[str, Any]]:
    """Both loops for each seed, each in a new process; they take turns in going first."""
    spawn = multiprocessing.get_context("spawn")
    for seed in range(seeds):
        found: dict[str, Any] = {"seed": seed}
        for loop in (plain, ours) if seed % 2 == 0 else (ours, plain):
            with ProcessPoolExecutor(1, mp_context=spawn) as process:
                found[loop.__name__] = process.submit(loop, name, recipe.override({"seed": seed})).result()
        yield found


def compared(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Means with their 95 % intervals over seeds (t): of both, of the difference (Welch), of the ratio of the times."""
    plains, others = ([run[loop]["accuracy"] for run in runs] for loop in ("plain", "ours"))
    difference = {"mean": float(np.mean(others) - np.mean(plains)), "low": np.nan, "high": np.nan, "n": len(runs)}
    if len(runs) > 1 and np.ptp(plains) + np.ptp(others) > 0:
        interval = stats.ttest_ind(others, plains, equal_var=False).confidence_interval()
        difference |= {"low": float(interval.low), "high": float(interval.high)}
    return {
        "plain accuracy": summary(plains),
        "thirtytwo accuracy": summary(others),
        "difference": difference,
        "plain seconds": summary([run["plain"]["seconds"] for run in runs]),
        "thirtytwo seconds": summary([run["ours"]["seconds"] for run in runs]),
        "time ratio": summary([run["plain"]["seconds"] / run["ours"]["seconds"] for run in runs]),
    }


def _row(of: dict[str, dict[str, float]]) -> str:
    gap, ratio = of["difference"], of["time ratio"]
    low, mean, high = (f"{100 * gap[key]:+.2f}" for key in ("low", "mean", "high"))
    accuracies = (f"{100 * of[f'{loop} accuracy']['mean']:.2f}" for loop in ("plain", "thirtytwo"))
    cells = "".join(f"{cell:<10}" for cell in accuracies)
    times = f"{ratio['mean']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"
    return f"{gap['n']:>4}   {cells}{f'{mean} [{low}, {high}]':<25}{times}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help=f"of {', '.join(NETWORKS)}; default: all")
    parser.add_argument("--cifar10", default="cifar10", help="a source of CIFAR-10, such as a path")
    parser.add_argument("--mnist", default="mnist", help="a source of MNIST")
    parser.add_argument("--epochs", type=int, help="default: each recipe's")
    parser.add_argument("--limit", type=int, help="training images; default: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--precision", default="auto", help="thirtytwo's; the plain loop uses float32")
    options = parser.parse_args()
    if unknown := set(options.networks) - set(NETWORKS):
        parser.error(f"unknown network {', '.join(sorted(unknown))}: choose from {', '.join(NETWORKS)}")
    found = {}
    for name in options.networks:
        grey = NETWORKS[name].startswith("mnist")
        recipe = recipes.find(NETWORKS[name])
        augment = "translate(2, padding='zero')" if grey else "flip|translate(4, padding='zero')"
        if recipe.augment == "none":
            augment = "none"
        if recipe.optim.name == "muon":
            recipe = recipe.override(STANDARD)
        recipe = recipe.override(
            {
                **PLAIN,
                "augment": augment,
                "schedule": "constant" if recipe.schedule == "constant" else "cosine",
                "data.source": options.mnist if grey else options.cifar10,
                "data.limit": options.limit,
                "train.precision": options.precision,
                "train.epochs": options.epochs or round(recipe.train.epochs),
            }
        )
        runs = []
        for run in alternating(name, recipe, options.seeds):
            runs.append(run)
            print(name, json.dumps(run), flush=True)
        used = recipe.model_dump(mode="json", exclude={"data": {"source"}})
        found[name] = {"recipe": used, "runs": runs, "summary": compared(runs)}
        keep("origins-control", {"limit": options.limit, "networks": found})
    print(f"\n{'':<12}{'epochs':>7}{'n':>4}   plain, %  ours, %  difference               time, plain / ours")
    for name, each in found.items():
        print(f"{name:<12}{each['recipe']['train']['epochs']:>7g}{_row(each['summary'])}")


if __name__ == "__main__":
    main()
