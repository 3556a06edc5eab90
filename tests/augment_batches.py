"""Real images for the tests of augmentations: scikit-learn's digits and patches of its two photographs."""

from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits, load_sample_images
from torch import Tensor

from thirtytwo.augment import Batch


@cache
def digits() -> Tensor:
    """float32 (64, 1, 8, 8) in 0..1."""
    return torch.from_numpy(load_digits().images[:64, None] / 16).float()


@cache
def photographs(height: int = 32, width: int = 32, count: int = 64) -> Tensor:
    """float32 (count, 3, height, width) in 0..1, cut from all over a Chinese temple and a flower."""
    pictures = torch.from_numpy(np.stack(load_sample_images().images)).permute(0, 3, 1, 2)
    patches = pictures.unfold(2, height, height).unfold(3, width, width).permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
    chosen = torch.linspace(0, len(patches) - 1, count).long()
    return patches[chosen].float() / 255


def batch_of(images: Tensor, epoch: int = 0, seed: int = 0) -> Batch:
    """``images`` with one-hot targets of ten classes, and ids that are not their positions."""
    labels = torch.arange(len(images)) % 10
    ids = torch.arange(len(images)) * 7 + 3
    return Batch(images, torch.eye(10)[labels], ids, epoch, seed)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
