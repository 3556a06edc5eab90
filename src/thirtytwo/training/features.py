"""A frozen trunk's output for each image, computed once and kept in the cache: a head is trained on it in seconds."""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, one_hot

from thirtytwo import memory
from thirtytwo.augment import Augmentation, Batch, Chain
from thirtytwo.data import cache
from thirtytwo.data.imageset import ImageSet, to_float
from thirtytwo.data.split import Splits
from thirtytwo.data.waiting import counted
from thirtytwo.device import Device
from thirtytwo.models.classifier import Classifier, evaluating
from thirtytwo.rng import generator
from thirtytwo.training.feed import Batches
from thirtytwo.words import plural

BLOCK = 250
"""Images that pass through the trunk at a time."""
FEW = 8
"""Images whose features distinguish one network from another."""
CLOSE = 0.01
"""By how much, in nats, log-probabilities that follow from a head's input alone may differ. In float32 it is 10^-5."""
SPREAD = 3.0
"""Standard deviation of the logits with which a head is tested: any activation after it would change them."""


class Head(nn.Module):
    """A network's last layer alone: features (B, F) -> logits (B, K).

    A 1x1 convolution is treated as the linear layer that it is on pooled maps.
    """

    layer: nn.Linear | nn.Conv2d

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer  # type: ignore[assignment]

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, K) of features (B, F)."""
        pooled = isinstance(self.layer, nn.Conv2d)
        logits: Tensor = self.layer(features[..., None, None] if pooled else features)
        return logits.flatten(1)


@dataclass(frozen=True, eq=False)
class Features:
    """The features of a training's images.

    Attributes:
        head: name of the last layer, in `Classifier.network`.
        train: for each view, features float32 (N, F) and targets float32 (N, K), on the device.
        val: float32 (M, F), on the device.
        seconds: spent computing or reading them.
    """

    head: str
    train: tuple[tuple[Tensor, Tensor], ...]
    val: Tensor
    seconds: float

    @property
    def per_image(self) -> float:
        """Seconds per image and view."""
        return self.seconds / (sum(len(features) for features, _ in self.train) + len(self.val))

    def head_of(self, model: nn.Module) -> Head:
        """The last layer of a classifier, which takes features."""
        return Head(model.get_submodule(f"network.{self.head}"))


class FeatureFeed(Batches):
    """Training batches of features: each epoch takes the next view, in an order that derives from the seed."""

    def __init__(self, features: Features, *, batch_size: int, seed: int, balanced: bool) -> None:
        images, targets = features.train[0]
        labels = targets.argmax(1) if balanced else None
        super().__init__(len(images), batch_size=batch_size, seed=seed, device=targets.device, balanced=labels)
        self.views = features.train

    def batch(self, step: int) -> Batch:
        """The batch of ``step``: its images are features (B, F)."""
        epoch, ids = self.ids(step)
        features, targets = self.views[epoch % len(self.views)]
        return Batch(features[ids], targets[ids], ids, epoch, self.seed)


def pooled(model: Classifier, layer: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """The input of ``layer``, float32 (B, F), and the model's logits (B, K), for images (B, C, H, W) in 0..1.

    Maps are averaged over their pixels.
    """
    given: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].float()))
    try:
        logits = model(images)
    finally:
        handle.remove()
    return given[0].mean((2, 3)) if given[0].ndim == 4 else given[0], logits.float()


@torch.no_grad()
def is_linear(model: Classifier, head: str, images: Tensor) -> bool:
    """Whether the model's answers follow from the input of its last layer by that layer alone.

    It is tested on images (B, C, H, W) in 0..1 with random weights in the layer ``head``, whose own may hide what comes
    after it: with zeros, every activation looks linear. They are restored.
    """
    layer = model.network.get_submodule(head)
    if not isinstance(layer, nn.Linear | nn.Conv2d) or (isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1)):
        return False
    before = [parameter.clone() for parameter in layer.parameters()]
    try:
        with evaluating(model):
            features, _ = pooled(model, layer, images)
            length = float(features.square().sum(1).mean().sqrt())
            for parameter in layer.parameters():
                draws = torch.randn(parameter.shape, generator=generator(0, "head", parameter.ndim))
                parameter.copy_(draws * SPREAD / (length if parameter.ndim > 1 else 1))
            features, logits = pooled(model, layer, images)
            answer = Head(layer)(features) if features.ndim == 2 else features
    finally:
        for parameter, values in zip(layer.parameters(), before, strict=True):
            parameter.copy_(values)
    if answer.shape != logits.shape:
        return False
    return bool((log_softmax(answer, 1) - log_softmax(logits, 1)).abs().max() < CLOSE)


def compute(
    model: Classifier, head: str, splits: Splits, *, augment: Chain, views: int, seed: int, device: Device
) -> Features:
    """The features of train and val: from the cache, else computed and kept there.

    Args:
        model: in float32, on the device.
        head: name of its last layer, in `Classifier.network`.
        splits: whose train and val are used.
        augment: what makes the views of train differ.
        views: how many; with 0, or if ``augment`` changes nothing, the images are taken as they are.
        seed: of the views' draws.
        device: where they are computed.

    Raises UserError if they do not fit in memory, or the cache folder cannot be written.
    """
    began = time.monotonic()
    layer = model.network.get_submodule(head)
    drawn: Sequence[int | None] = range(views) if augment.parts and views else [None]
    weights = _digest(model, head)
    threads = torch.get_num_threads() if device.torch.type == "cpu" else 0
    made_by = [torch.__version__, device.torch.type, device.precision, threads, weights]

    def kept(split: str, images: ImageSet, view: int | None) -> tuple[Tensor, Tensor]:
        def blocks(of: ImageSet) -> Iterator[np.ndarray]:
            return _blocks(model, layer, of, device, Chain() if view is None else augment, seed, view or 0)

        # The trunk's output for a few images, bit for bit, stands for the code that no version or option identifies.
        few = next(blocks(images.select(torch.arange(min(FEW, len(images))))))
        _require_memory(len(images) * (len(drawn) if split == "train" else 1), few.shape[1], len(drawn))
        made_from = [splits.record["sha256"][split], images.images.shape[1:], len(images.classes)]
        settings = [*made_by, *made_from, view is not None and [str(augment), seed, view]]
        digest = hashlib.blake2b(json.dumps(settings).encode() + few.tobytes(), digest_size=16)

        def make(key: str) -> None:
            shown = counted(blocks(images), -(-len(images) // BLOCK), f"features of {split}")
            cache.store(key, (len(images), few.shape[1]), shown, dict)

        values = cache.get(f"features-{digest.hexdigest()}", make)[0].view(torch.float32)
        features, targets = values.split([values.shape[1] - len(images.classes), len(images.classes)], dim=1)
        return features.contiguous().to(device.torch), targets.contiguous().to(device.torch)

    train = tuple(kept("train", splits.train, view) for view in drawn)
    return Features(head, train, kept("val", splits.val, None)[0], time.monotonic() - began)


@torch.no_grad()
def _blocks(
    model: Classifier, layer: nn.Module, images: ImageSet, device: Device, augment: Augmentation, seed: int, view: int
) -> Iterator[np.ndarray]:
    """Features and targets of images, side by side, block by block: float32 viewed as bytes (B, 4 (F + K))."""
    with device.training(search=False), evaluating(model):
        for start in range(0, len(images), BLOCK):
            ids = torch.arange(start, min(start + BLOCK, len(images)))
            batch = Batch(
                to_float(images.images[ids], device.torch),
                one_hot(images.labels[ids], len(images.classes)).float().to(device.torch),
                ids.to(device.torch),
                view,
                seed,
            )
            batch = augment(batch, generator(seed, "view", view, start, device=device.torch))
            with device.autocast():
                features, _ = pooled(model, layer, batch.images)
            yield torch.cat([features, batch.targets], 1).cpu().numpy().view(np.uint8)


def _require_memory(rows: int, width: int, views: int) -> None:
    """Raises UserError unless ``rows`` of ``width`` bytes fit in memory twice: as they are kept, and in use."""
    remedy = "train.feature_views=1" if views > 1 else "data.limit, or train.freeze=none"
    memory.require(2 * rows * width, f"features of {plural(rows, 'image')} need", f"set {remedy}")


def _digest(model: Classifier, head: str) -> str:
    """Hash of the weights before the head, and of the normalisation."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in model.state_dict().items():
        if not name.startswith(f"network.{head}."):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
