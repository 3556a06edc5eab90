"""Augmentations: random changes to a whole training batch, on the device that trains.

An augmentation is a frozen dataclass whose fields are its settings, called with a batch and a generator; it draws
its parameters once per image and never modifies its input. Register one with ``@augmentations.register`` and compose
them as text: ``flip|translate(4)|cutout(8)``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from thirtytwo.registry import Registry
from thirtytwo.spec import parse_chain

if TYPE_CHECKING:
    from thirtytwo.augment.augmenter import Augmenter


@dataclass(frozen=True)
class Batch:
    """A training batch.

    Attributes:
        images: float32 (B, C, H, W) in 0..1, not normalised.
        targets: float32 (B, K), rows sum to 1: one-hot labels, or mixtures of them.
        ids: int64 (B,): each image's number in its training set, for augmentations that must recognise an image;
            None in a user's own loop that does not pass them.
        epoch: passes over the training set completed before this batch.
        seed: the run's seed, for draws that belong to an image rather than to a step.

    >>> import torch
    >>> from thirtytwo import Batch
    >>> batch = Batch(torch.rand(2, 3, 8, 8), torch.eye(2), ids=torch.tensor([5, 9]))
    >>> batch.images.shape, batch.epoch
    (torch.Size([2, 3, 8, 8]), 0)
    """

    images: Tensor
    targets: Tensor
    ids: Tensor | None
    epoch: int = 0
    seed: int = 0


Augmentation = Callable[[Batch, torch.Generator], Batch]

augmentations: Registry[Augmentation] = Registry("augmentation", package="thirtytwo.augment")


@dataclass(frozen=True)
class Chain:
    """Augmentations applied one after the other; the empty chain changes nothing."""

    parts: tuple[Augmentation, ...] = ()
    text: str = "none"

    @classmethod
    def parse(cls, text: str) -> "Chain":
        """Build a chain from text: ``flip|translate(4)``. Raises UserError for a syntax error or unknown name."""
        specs = parse_chain(text)
        return cls(tuple(augmentations.build(spec) for spec in specs), "|".join(map(str, specs)) or "none")

    def __str__(self) -> str:
        return self.text

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch after each augmentation in turn."""
        for part in self.parts:
            batch = part(batch, generator)
        return batch


def augment(text: str, *, seed: int = 0, classes: int | None = None) -> "Augmenter":
    """Augmentations for the batches of your own training loop.

    >>> import torch
    >>> from thirtytwo.augment import augment
    >>> change = augment("flip|translate(4)", seed=0)
    >>> images, labels = change(torch.rand(128, 3, 32, 32), torch.zeros(128, dtype=torch.int64))
    >>> images.shape
    torch.Size([128, 3, 32, 32])

    Args:
        text: as in a recipe: names with their settings, separated by ``|`` and applied from left to right.
        seed: determines every draw: the same seed gives the same changes again, call by call.
        classes: the number of classes. If given, int labels come back as float targets (B, classes); ``mixup`` and
            ``cutmix`` need it, unless they are given such targets.

    Raises:
        UserError: for text that cannot be parsed, an unknown name, and settings out of range.
    """
    from thirtytwo.augment.augmenter import Augmenter

    return Augmenter(text, seed=seed, classes=classes)


__all__ = ["Augmentation", "Batch", "Chain", "augment", "augmentations"]
