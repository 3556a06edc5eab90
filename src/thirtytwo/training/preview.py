"""A few training pictures, as they are and as training shows them."""

import numpy as np
import torch
from torch.nn.functional import one_hot

from thirtytwo.augment import Augmentation, Batch, Chain
from thirtytwo.data.imageset import ImageSet, to_float
from thirtytwo.rng import generator, numpy_generator

PICTURES, EPOCHS = 8, 3
"""Pictures that a run keeps for its report, and epochs in which they are shown augmented."""


def sample(images: ImageSet, count: int, seed: int) -> ImageSet:
    """``count`` of the images: the classes in turn, each time another picture of the class."""
    order = numpy_generator(seed, "sheet").permutation(len(images))
    labels = images.labels.numpy()[order]
    turn = np.empty(len(order), dtype=np.int64)
    for label in np.unique(labels):
        turn[labels == label] = np.arange((labels == label).sum())
    return images.select(order[np.lexsort((labels, turn))][:count])


def augmented(images: ImageSet, augment: Augmentation, seed: int, epoch: int = 0) -> np.ndarray:
    """uint8 (N, C, H, W): the images as one training batch of an epoch, counted from 0, would show them."""
    targets = one_hot(images.labels, len(images.classes)).float()
    batch = Batch(to_float(images.images, images.images.device), targets, images.ids, epoch, seed)
    shown = augment(batch, generator(seed, "augment", epoch)).images
    return (shown.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def preview(train: ImageSet, augment: Chain, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A sample of the training images, uint8 (1 + E, N, C, H, W), and their labels, int64 (N,).

    First as they are, then as E epochs show them; E is 0 if ``augment`` changes nothing.
    """
    chosen = sample(train, PICTURES, seed)
    epochs = [augmented(chosen, augment, seed, epoch) for epoch in range(EPOCHS if augment.parts else 0)]
    return np.stack([chosen.images.numpy(), *epochs]), chosen.labels.numpy()
