"""Random parameters, one per image, and the base of the augmentations that draw them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from thirtytwo.augment import Batch
from thirtytwo.augment.settings import Checked


@dataclass(frozen=True)
class Draws:
    """Draws parameters for each image of a batch.

    Numbers are drawn on the generator's device and then moved, so that a generator on the CPU gives
    a batch on the GPU the same parameters as a batch on the CPU.

    Attributes:
        generator: where the numbers come from; every draw advances it.
        count: images in the batch.
        device: where the drawn parameters are needed.
    """

    generator: torch.Generator
    count: int
    device: torch.device

    @classmethod
    def of(cls, batch: Batch, generator: torch.Generator) -> "Draws":
        """Draws for a batch, on the batch's device."""
        return cls(generator, len(batch.images), batch.images.device)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """float32 (B, *shape), uniform between ``low`` and ``high``."""
        drawn = torch.rand((self.count, *shape), generator=self.generator, device=self.generator.device)
        return drawn.mul_(high - low).add_(low).to(self.device)

    def normal(self, *shape: int) -> Tensor:
        """float32 (B, *shape), standard normal."""
        drawn = torch.randn((self.count, *shape), generator=self.generator, device=self.generator.device)
        return drawn.to(self.device)

    def integers(self, low: int, high: int) -> Tensor:
        """int64 (B,), uniform over ``low`` to ``high``, inclusive."""
        where = self.generator.device
        return torch.randint(low, high + 1, (self.count,), generator=self.generator, device=where).to(self.device)

    def chance(self, p: float) -> Tensor:
        """Boolean (B,), true with probability ``p``."""
        return self.uniform(0, 1) < p

    def beta(self, alpha: float) -> Tensor:
        """float32 (B,), from the symmetric Beta(alpha, alpha)."""
        shape = torch.full((self.count, 2), alpha + 1.0, device=self.generator.device)
        # torch.distributions takes no generator. Gamma(a) = Gamma(a + 1) U^(1/a), in logarithms because a small
        # alpha underflows: at 0.01 one draw in two thousand would be 0 / 0 in float64.
        gamma = torch._standard_gamma(shape, generator=self.generator).log()
        uniform = torch.rand((self.count, 2), generator=self.generator, device=self.generator.device)
        logs = gamma + uniform.clamp_(min=torch.finfo(torch.float32).tiny).log() / alpha
        return torch.sigmoid(logs[:, 0] - logs[:, 1]).to(self.device)

    def partners(self) -> Tensor:
        """int64 (B,), a permutation of the batch."""
        where = self.generator.device
        return torch.randperm(self.count, generator=self.generator, device=where).to(self.device)


class ImageAugmentation(Checked, ABC):
    """An augmentation that changes images and leaves targets alone.

    A subclass is a frozen dataclass whose fields are its settings, and implements `change`.
    """

    @abstractmethod
    def change(self, images: Tensor, draw: Draws) -> Tensor:
        """The changed images, same shape, float32 in 0..1. Must not write into ``images``."""

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch with its images changed."""
        changed = self.change(batch.images, Draws.of(batch, generator))
        if changed.stride() != batch.images.stride():  # grid_sample, for one, loses channels_last
            changed = torch.empty_like(batch.images).copy_(changed)
        return replace(batch, images=changed)


def choose(chosen: Tensor, changed: Tensor, images: Tensor) -> Tensor:
    """``changed`` where ``chosen``, boolean (B,), is true, else ``images``."""
    return torch.where(chosen[:, None, None, None], changed, images)
