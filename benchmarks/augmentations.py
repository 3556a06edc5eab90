"""Every augmentation of thirtytwo beside torchvision's image by image and kornia's batch by batch: images per second.

    python benchmarks/augmentations.py path/to/cifar10

All start from the same images, uint8, and end with a batch in float32 in 0..1. torchvision's are what a DataLoader's
worker does: an image at a time, as a PIL image or as a tensor, whichever is faster, then stacked; its mixtures
of images work on the batch. The sides take turns in one process. kornia is in `peers.txt`; without it, its column is
empty. What one of them does not have is empty, too.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from record import in_turns, keep, per_second, ratio
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from thirtytwo.augment import augment as augmenter
from thirtytwo.augment import augmentations
from thirtytwo.data.load import load

BATCH, CLASSES = 512, 10
ON_FLOATS = {"cutout", "noise", "random_erasing"}
"""Those that torchvision applies to tensors in 0..1 alone."""
ON_BATCHES = {"cutmix", "mixup"}


def torchvision(size: int) -> dict[str, Callable[[], Any]]:
    """torchvision's, by our names, for images of that many pixels on each side."""
    return {
        "affine": lambda: v2.RandomAffine(15, translate=(0.1, 0.1), scale=(0.9, 1.1), shear=10),
        "autocontrast": v2.RandomAutocontrast,
        "blur": lambda: v2.GaussianBlur(5),
        "brightness": lambda: v2.ColorJitter(brightness=0.2),
        "contrast": lambda: v2.ColorJitter(contrast=0.2),
        "cutmix": lambda: v2.CutMix(num_classes=CLASSES),
        "cutout": lambda: v2.RandomErasing(1, scale=(1 / 16, 1 / 16), ratio=(1, 1)),
        "equalise": v2.RandomEqualize,
        "flip": v2.RandomHorizontalFlip,
        "greyscale": lambda: v2.RandomGrayscale(0.2),
        "hue": lambda: v2.ColorJitter(hue=0.05),
        "mixup": lambda: v2.MixUp(alpha=0.2, num_classes=CLASSES),
        "noise": lambda: v2.GaussianNoise(sigma=0.05),
        "perspective": lambda: v2.RandomPerspective(0.3),
        "posterise": lambda: v2.RandomPosterize(4),
        "randaugment": v2.RandAugment,
        "random_erasing": lambda: v2.RandomErasing(0.5),
        "random_resized_crop": lambda: v2.RandomResizedCrop(size, antialias=True),
        "rotate": lambda: v2.RandomRotation(15),
        "saturation": lambda: v2.ColorJitter(saturation=0.2),
        "sharpness": lambda: v2.RandomAdjustSharpness(1.5, p=1),
        "solarise": lambda: v2.RandomSolarize(128),
        "translate": lambda: v2.RandomCrop(size, padding=4, padding_mode="reflect"),
        "trivialaugment": v2.TrivialAugmentWide,
        "vflip": v2.RandomVerticalFlip,
    }


def kornia(size: int) -> dict[str, Callable[[], Any]]:
    """kornia's, likewise; none where it is not installed."""
    try:
        import kornia.augmentation as k
        from kornia.augmentation import auto
    except ImportError:
        return {}
    return {
        "affine": lambda: k.RandomAffine(15, translate=(0.1, 0.1), scale=(0.9, 1.1), shear=10, p=1),
        "autocontrast": lambda: k.RandomAutoContrast(p=0.5),
        "blur": lambda: k.RandomGaussianBlur((5, 5), (0.1, 2), p=1),
        "brightness": lambda: k.RandomBrightness((0.8, 1.2), p=1),
        "contrast": lambda: k.RandomContrast((0.8, 1.2), p=1),
        "cutmix": lambda: k.RandomCutMixV2(data_keys=["input", "class"], p=1),
        "cutout": lambda: k.RandomErasing((1 / 16, 1 / 16), (1, 1), p=1),
        "equalise": lambda: k.RandomEqualize(p=0.5),
        "flip": lambda: k.RandomHorizontalFlip(p=0.5),
        "greyscale": lambda: k.RandomGrayscale(p=0.2),
        "hue": lambda: k.RandomHue((-0.05, 0.05), p=1),
        "mixup": lambda: k.RandomMixUpV2(data_keys=["input", "class"], p=1),
        "noise": lambda: k.RandomGaussianNoise(std=0.05, p=1),
        "perspective": lambda: k.RandomPerspective(0.3, p=0.5),
        "posterise": lambda: k.RandomPosterize(4, p=0.5),
        "randaugment": lambda: auto.RandAugment(n=2, m=9),
        "random_erasing": lambda: k.RandomErasing(p=0.5),
        "random_resized_crop": lambda: k.RandomResizedCrop((size, size), p=1),
        "rotate": lambda: k.RandomRotation(15, p=1),
        "saturation": lambda: k.RandomSaturation((0.8, 1.2), p=1),
        "sharpness": lambda: k.RandomSharpness((0.5, 1.5), p=1),
        "solarise": lambda: k.RandomSolarize(p=0.5),
        "translate": lambda: k.RandomCrop((size, size), padding=4, padding_mode="reflect", p=1),
        "trivialaugment": lambda: auto.TrivialAugment(),
        "vflip": lambda: k.RandomVerticalFlip(p=0.5),
    }


def _floats(images: Tensor) -> Tensor:
    return images.float().div_(255)


def ours(name: str, images: Tensor, labels: Tensor) -> Callable[[], Any]:
    """A call that augments the batch once."""
    change, ids = augmenter(name, classes=CLASSES), torch.arange(len(images))
    return lambda: change(_floats(images), labels, ids=ids)


def per_image(transform: Any, name: str, images: Tensor, labels: Tensor, pil: bool) -> Callable[[], Any]:
    """Likewise with torchvision: an image at a time."""
    if name in ON_BATCHES:
        return lambda: transform(_floats(images), labels)
    to_floats = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    steps = [to_floats, transform] if name in ON_FLOATS else [transform, to_floats]
    pictures = [F.to_pil_image(image) if pil else image for image in images]
    change = v2.Compose(steps)
    return lambda: torch.stack([change(picture) for picture in pictures])


def per_batch(transform: Any, name: str, images: Tensor, labels: Tensor) -> Callable[[], Any]:
    """Likewise with kornia: the whole batch."""
    if name in ON_BATCHES:
        return lambda: transform(_floats(images), labels)
    return lambda: transform(_floats(images))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", help="a source of CIFAR-10, such as a path")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1, help="of each measurement")
    options = parser.parse_args()
    train = load(options.source).train
    images, labels = train.images[:BATCH], train.labels[:BATCH].long()
    per_images, per_batches = (library(images.shape[-1]) for library in (torchvision, kornia))
    found: dict[str, Any] = {}
    print(f"{'img/s':<22}{'thirtytwo':>12}{'torchvision':>13}{'ratio':>9}{'kornia':>12}{'ratio':>9}")
    for name in augmentations.names():
        sides = {"thirtytwo": ours(name, images, labels)}
        if name in per_images:
            sides["torchvision"] = max(
                (per_image(per_images[name](), name, images, labels, pil) for pil in (True, False)),
                key=lambda call: per_second(call, 0.2),
            )
        if name in per_batches:
            sides["kornia"] = per_batch(per_batches[name](), name, images, labels)
        rates: dict[str, list[float]] = {side: [] for side in sides}
        for side in in_turns(sides, options.rounds):
            rates[side].append(BATCH * per_second(sides[side], options.seconds))
        ratios = {side: ratio(rates["thirtytwo"], rates[side]) for side in list(sides)[1:]}
        found[name] = {"rates": rates, "ratios": ratios}
        line = f"{name:<22}{np.mean(rates['thirtytwo']):>12,.0f}"
        for side, width in (("torchvision", 13), ("kornia", 12)):
            shown = [f"{np.mean(rates[side]):,.0f}", f"{ratios[side]['mean']:.1f}"] if side in sides else ["", ""]
            line += f"{shown[0]:>{width}}{shown[1]:>9}"
        print(line, flush=True)
    keep("augmentations", {"batch": BATCH, "augmentations": found})


if __name__ == "__main__":
    main()
