"""What a frozen trunk makes of each image, computed once and kept in the cache: a head is trained on it in seconds."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, one_hot

from thirtytwo import __version__
from thirtytwo.augment import Augmentation, Batch, Chain
from thirtytwo.data import cache
from thirtytwo.data.imageset import ImageSet
from thirtytwo.data.split import Splits
from thirtytwo.data.waiting import counted
from thirtytwo.device import Device
from thirtytwo.errors import UserError
from thirtytwo.feed import Batches
from thirtytwo.models.classifier import Classifier, evaluating
from thirtytwo.recipe import Recipe
from thirtytwo.rng import generator

BLOCK = 250
"""Images that pass through the trunk at a time."""
CLOSE = 0.05
"""By how much, in nats, the head of pooled features may differ from the network in one of its log-probabilities.
In bf16 they do by a few thousandths; a network that does more after its head does so by far more."""


class Head(nn.Module):
    """A network's last layer alone: features (B, F) -> logits (B, K). A 1x1 convolution is taken as the linear layer
    that it is on pooled maps."""

    layer: nn.Linear | nn.Conv2d

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer  # type: ignore[assignment]

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, K) of features (B, F)."""
        if isinstance(self.layer, nn.Conv2d):
            return self.layer(features[..., None, None]).flatten(1)
        return self.layer(features)


@dataclass(frozen=True, eq=False)
class Features:
    """The features of a training's images.

    Attributes:
        head: name of the last layer, in `Classifier.network`.
        train: for each augmented view, features float32 (N, F) and targets float32 (N, K), on the device.
        val: float32 (M, F), on the device.
    """

    head: str
    train: tuple[tuple[Tensor, Tensor], ...]
    val: Tensor

    def head_of(self, model: nn.Module) -> Head:
        """The last layer of a classifier, which takes features."""
        return Head(model.get_submodule(f"network.{self.head}"))


class FeatureFeed(Batches):
    """Training batches of features: each epoch takes the next view, in an order that derives from the seed."""

    def __init__(self, features: Features, *, batch_size: int, seed: int) -> None:
        images, targets = features.train[0]
        super().__init__(len(images), batch_size=batch_size, seed=seed, device=targets.device)
        self.views = features.train

    def batch(self, step: int) -> Batch:
        """The batch of ``step``: its images are features (B, F)."""
        epoch, ids = self.ids(step)
        features, targets = self.views[epoch % len(self.views)]
        return Batch(features[ids], targets[ids], ids, epoch, self.seed)


def pooled(model: Classifier, layer: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """What ``layer`` of the model is given for images (B, C, H, W) in 0..1, maps pooled to their mean: float32 (B, F);
    and the model's logits (B, K)."""
    given: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].float()))
    try:
        logits = model(images)
    finally:
        handle.remove()
    return given[0].mean((2, 3)) if given[0].ndim == 4 else given[0], logits.float()


@torch.no_grad()
def is_linear(model: Classifier, head: str, images: Tensor) -> bool:
    """Whether the model's answers to images (B, C, H, W) in 0..1 follow from ``head`` and what that layer is given."""
    layer = model.network.get_submodule(head)
    if not isinstance(layer, nn.Linear | nn.Conv2d) or (isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1)):
        return False
    with evaluating(model):
        features, logits = pooled(model, layer, images)
        answer = Head(layer)(features)
    if answer.shape != logits.shape:
        return False
    return bool((log_softmax(answer, 1) - log_softmax(logits, 1)).abs().max() < CLOSE)


def compute(model: Classifier, head: str, recipe: Recipe, splits: Splits, device: Device, views: int) -> Features:
    """The features of train, in ``views`` augmented views, and of val: from the cache, else computed and kept there.

    Without augmentation there is one view. Raises UserError when the cache folder cannot be written.
    """
    layer = model.network.get_submodule(head)
    trunk = _digest(model, head)
    augment = Chain.parse(recipe.augment)

    def kept(split: str, images: ImageSet, view: int | None) -> tuple[Tensor, Tensor]:
        drawn = None if view is None else [recipe.augment, recipe.seed, view]
        made_by = [__version__, torch.__version__, device.torch.type, device.precision]
        settings = [made_by, trunk, splits.record["sha256"][split], drawn]
        key = f"features-{hashlib.blake2b(json.dumps(settings).encode(), digest_size=16).hexdigest()}"
        limit = cache.default_memory_limit()
        found = cache.read(key, limit)
        if found is None:
            change = augment if view is not None else Chain()
            blocks = _blocks(model, layer, images, device, change, recipe.seed, view or 0)
            first = next(blocks)
            rest = counted(blocks, -(-len(images) // BLOCK) - 1, f"features of {split}")
            cache.store(key, (len(images), first.shape[1]), _chained(first, rest), dict)
            found = cache.read(key, limit)
        if found is None:
            raise UserError(f"{cache.cache_dir()}: features do not survive being written: check this disk")
        values = found[0].view(torch.float32)
        features, targets = values.split([values.shape[1] - len(images.classes), len(images.classes)], dim=1)
        return features.contiguous().to(device.torch), targets.contiguous().to(device.torch)

    wanted: Sequence[int | None] = range(views) if augment.parts else [None]
    train = tuple(kept("train", splits.train, view) for view in wanted)
    return Features(head, train, kept("val", splits.val, None)[0])


@torch.no_grad()
def _blocks(
    model: Classifier, layer: nn.Module, images: ImageSet, device: Device, augment: Augmentation, seed: int, view: int
) -> Iterator[np.ndarray]:
    """Features and targets of block after block of images, side by side: float32 seen as bytes (B, 4 (F + K))."""
    with device.training(), evaluating(model):
        for start in range(0, len(images), BLOCK):
            ids = torch.arange(start, min(start + BLOCK, len(images)))
            pixels = images.images[ids].to(device.torch)
            batch = Batch(
                pixels.to(torch.float32, memory_format=torch.channels_last).div_(255),
                one_hot(images.labels[ids], len(images.classes)).float().to(device.torch),
                ids.to(device.torch),
                view,
                seed,
            )
            batch = augment(batch, generator(seed, "view", view, start, device=device.torch))
            with device.autocast():
                features, _ = pooled(model, layer, batch.images)
            yield torch.cat([features, batch.targets], 1).cpu().numpy().view(np.uint8)


def _chained(first: np.ndarray, rest: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from rest


def _digest(model: Classifier, head: str) -> str:
    """Hash of all that decides a feature: the weights before the head, the normalisation, the architecture."""
    digest = hashlib.blake2b(str(getattr(model.network, "architecture", "")).encode(), digest_size=16)
    for name, tensor in model.state_dict().items():
        if not name.startswith(f"network.{head}."):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
