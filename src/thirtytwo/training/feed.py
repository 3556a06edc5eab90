"""Training batches: cut from the image set on the training device, in an order that derives from the seed."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from math import ceil

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from thirtytwo.augment import Augmentation, Batch, Chain
from thirtytwo.data.imageset import ImageSet, to_float
from thirtytwo.device import Device
from thirtytwo.errors import UserError
from thirtytwo.rng import generator
from thirtytwo.training.storage import fetching


class Batches(ABC):
    """Which images make which batch: the order of each epoch is drawn from (seed, epoch).

    An epoch shows each image once; or, if it is balanced, as many images, of which each class has as many.

    Iterating yields the batches of one epoch, iterating again those of the next; ``len`` is how many these are. The
    last, smaller batch of an epoch is left out unless it is the only one.

    Args:
        images: how many there are, at least 1.
        batch_size: images per batch, at least 1; if there are fewer images, all of them.
        seed: determines the order.
        device: where the batches are needed.
        balanced: the images' labels, int64 (N,), to balance by; None shows each image once.
    """

    def __init__(
        self, images: int, *, batch_size: int, seed: int, device: torch.device, balanced: Tensor | None = None
    ) -> None:
        self.count = images
        self.balanced = None if balanced is None else balanced.cpu()
        self.batch_size = min(batch_size, images)
        self.seed = seed
        self.device = device
        self._order: tuple[int, Tensor, Tensor] | None = None
        self._begun = 0

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass over the images."""
        return self.count // self.batch_size

    def steps(self, epochs: float) -> int:
        """Steps that ``epochs`` passes take, rounded up."""
        return max(1, ceil(epochs * self.steps_per_epoch - 1e-9))

    def epoch(self, step: int) -> float:
        """Passes completed before ``step``."""
        return step / self.steps_per_epoch

    def ids(self, step: int) -> tuple[int, Tensor]:
        """The epoch of ``step`` and the numbers of its images, int64 (B,) on the device."""
        epoch, _, order = self._order_of(step)
        return epoch, order[self._positions(step)]

    def order(self, step: int) -> Tensor:
        """The numbers of ``step``'s images, int64 (B,), in the computer's memory."""
        return self._order_of(step)[1][self._positions(step)]

    def _positions(self, step: int) -> slice:
        position = step % self.steps_per_epoch
        return slice(position * self.batch_size, (position + 1) * self.batch_size)

    def _order_of(self, step: int) -> tuple[int, Tensor, Tensor]:
        """The epoch of ``step``, its order in the computer's memory, and the same on the device."""
        epoch = step // self.steps_per_epoch
        if self._order is None or self._order[0] != epoch:
            draw = generator(self.seed, "order", epoch)
            order = torch.randperm(self.count, generator=draw)
            if self.balanced is not None:
                order = _balanced(self.balanced, order, draw)
            self._order = epoch, order, order.to(self.device)
        return self._order

    @abstractmethod
    def batch(self, step: int) -> Batch:
        """The batch of ``step``, on the device."""

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __iter__(self) -> Iterator[Batch]:
        first = self._begun * self.steps_per_epoch
        self._begun += 1
        return map(self.batch, range(first, first + self.steps_per_epoch))


def _balanced(labels: Tensor, order: Tensor, draw: torch.Generator) -> Tensor:
    """As many images as ``order`` has, as many of each class (one more of some), each class's in turn and shuffled."""
    present = labels.unique()
    extra = set(present[torch.randperm(len(present), generator=draw)][: len(order) % len(present)].tolist())
    rounds = []
    for label in present.tolist():
        own = order[labels[order] == label]
        count = len(order) // len(present) + (label in extra)
        rounds.append(own.repeat(-(-count // len(own)))[:count])
    shown = torch.cat(rounds)
    return shown[torch.randperm(len(shown), generator=draw)]


class Feed(Batches):
    """Every batch of a training, by its step alone: order and augmentation are drawn from (seed, epoch or step).

    The images are on the device as uint8, a quarter of their size as float32; each batch is gathered, scaled to 0..1
    and augmented there. Those that take more than half of a GPU's free memory are streamed to it, a batch ahead.

    >>> from thirtytwo import Feed
    >>> from thirtytwo.data.load import load
    >>> feed = Feed(load("digits").train, batch_size=128, augment="translate(1)")
    >>> for epoch in range(2):
    ...     for batch in feed:
    ...         pass  # loss = cross_entropy(model(batch.images), batch.targets)
    >>> len(feed), batch.images.shape, batch.targets.shape
    (14, torch.Size([128, 1, 8, 8]), torch.Size([128, 10]))

    Args:
        images: what to train on.
        batch_size: images per batch; if there are fewer images, all of them.
        augment: how each batch is changed, as in a recipe or as a callable.
        balanced: whether an epoch shows as many images of each class, those of small classes repeatedly.
        seed: determines the order of the images and the augmentation's draws.
        device: where the images are and the batches are made, such as "cpu" or "cuda".

    Raises:
        UserError: for images that are not an `ImageSet` or an empty one, a batch size or seed that is not a whole
            number, an unknown augmentation, and a device that this machine does not have.
    """

    def __init__(
        self,
        images: ImageSet,
        *,
        batch_size: int,
        augment: Augmentation | str = "none",
        balanced: bool = False,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        if not isinstance(images, ImageSet):
            raise UserError(
                f"a feed takes an ImageSet, not {type(images).__name__}: make one with "
                "ImageSet.of(images, labels, classes)"
            )
        if not len(images):
            raise UserError("a feed needs images: give it one or more")
        if not isinstance(batch_size, int) or batch_size < 1:
            raise UserError(f"batch_size must be a whole number from 1 up, not {batch_size!r}")
        if not isinstance(seed, int):
            raise UserError(f"seed must be a whole number, not {seed!r}")
        if not (isinstance(augment, str) or callable(augment)):
            raise UserError(f"augment must be text such as 'flip|translate(4)', or an augmentation, not {augment!r}")
        where = Device.choose(str(device), "float32").torch
        labels = images.labels if balanced else None
        super().__init__(len(images), batch_size=batch_size, seed=seed, device=where, balanced=labels)
        self._fetch = fetching(images.images, self.order, where)
        self.labels = images.labels.to(where)
        self.classes = len(images.classes)
        self.augment = Chain.parse(augment) if isinstance(augment, str) else augment

    def batch(self, step: int) -> Batch:
        """The augmented batch of ``step``, from 0 up, on the device, images channels_last."""
        epoch, ids = self.ids(step)
        images = to_float(self._fetch(step, ids), self.device)
        targets = one_hot(self.labels[ids], self.classes).float()
        batch = Batch(images, targets, ids, epoch, self.seed)
        return self.augment(batch, generator(self.seed, "augment", step, device=images.device))
