"""Training batches: cut from the image set on the training device, in an order that derives from the seed."""

from math import ceil

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from thirtytwo.augment import Augmentation, Batch
from thirtytwo.data.imageset import ImageSet
from thirtytwo.rng import generator


class Batches:
    """Which images make which batch: the order of each epoch is drawn from (seed, epoch).

    The last, smaller batch of an epoch is left out unless it is the only one.
    """

    def __init__(self, images: int, *, batch_size: int, seed: int, device: torch.device) -> None:
        self.count = images
        self.batch_size = min(batch_size, images)
        self.seed = seed
        self.device = device
        self._order: tuple[int, Tensor] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass over the images."""
        return self.count // self.batch_size

    def steps(self, epochs: float) -> int:
        """Steps that ``epochs`` passes take, rounded up."""
        return max(1, ceil(epochs * self.steps_per_epoch - 1e-9))

    def epoch(self, step: int) -> float:
        """Passes finished before ``step``."""
        return step / self.steps_per_epoch

    def ids(self, step: int) -> tuple[int, Tensor]:
        """The epoch of ``step`` and the numbers of its images, int64 (B,) on the device."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            order = torch.randperm(self.count, generator=generator(self.seed, "order", epoch))
            self._order = epoch, order.to(self.device)
        return epoch, self._order[1][position * self.batch_size : (position + 1) * self.batch_size]

    def batch(self, step: int) -> Batch:
        """The batch of ``step``, on the device."""
        raise NotImplementedError


class Feed(Batches):
    """Every batch of a training by its step alone: order and augmentation are drawn from (seed, epoch or step).

    The images lie on the device as uint8, a quarter of their size as float32; each batch is gathered, scaled to 0..1
    and augmented there.
    """

    def __init__(
        self, images: ImageSet, *, batch_size: int, augment: Augmentation, seed: int, device: torch.device
    ) -> None:
        super().__init__(len(images), batch_size=batch_size, seed=seed, device=device)
        self.images = images.images.to(device)
        self.labels = images.labels.to(device)
        self.classes = len(images.classes)
        self.augment = augment

    def batch(self, step: int) -> Batch:
        """The augmented batch of ``step``, on the device, images channels_last."""
        epoch, ids = self.ids(step)
        images = self.images[ids].to(torch.float32, memory_format=torch.channels_last).div_(255)
        targets = one_hot(self.labels[ids], self.classes).float()
        batch = Batch(images, targets, ids, epoch, self.seed)
        return self.augment(batch, generator(self.seed, "augment", step, device=images.device))
