"""Predict with a trained model, plainly and with test-time augmentation."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from thirtytwo.data.imageset import ImageSet, to_float
from thirtytwo.data.waiting import counted
from thirtytwo.device import Device
from thirtytwo.evaluation.predictions import Predictions
from thirtytwo.models.classifier import Classifier
from thirtytwo.paths import readable

BATCH, GPU_BATCH = 500, 2000
"""Images per forward pass, on the CPU and on a GPU. On the CPU more are no faster, and take more memory."""

VIEWS = {"none": 1, "flip": 2, "flip+shift": 6}
"""How many views per image each kind of test-time augmentation averages."""


def predict(
    model: Classifier,
    images: ImageSet,
    device: Device,
    *,
    split: str,
    views: str = "none",
    share: float = 1.0,
    limit: float | None = None,
) -> tuple[Predictions, Predictions | None]:
    """Score an image set: the plain predictions, and those averaged over ``views`` unless that is "none".

    Views are for the images whose confidence is at most ``limit``; None takes that which ``share`` of them do not
    exceed.
    """
    plain = logits(model, images.images, device, shown=f"scoring {split}")
    paths = None if images.paths is None else tuple(map(readable, images.paths))
    predictions = Predictions(
        plain.numpy(), images.labels.numpy(), images.classes, images.ids.numpy(), split, paths=paths
    )
    if views == "none":
        return predictions, None
    limit = least_sure(plain, share) if limit is None else limit
    averaged = averaged_logits(model, images.images, device, plain, views=views, limit=limit, shown=f"{split}, views")
    return predictions, replace(predictions, logits=averaged.numpy(), views=VIEWS[views])


def confidence(plain: Tensor) -> Tensor:
    """The highest probability of each row of logits (N, K), float64 (N,)."""
    return plain.double().softmax(1).amax(1)


def least_sure(plain: Tensor, share: float) -> float:
    """The confidence that ``share`` of the rows of logits (N, K) do not exceed, in 0..1."""
    return float(confidence(plain).quantile(share, interpolation="lower")) if share < 1 else 1.0


@torch.inference_mode()
def logits(model: nn.Module, images: Tensor, device: Device, *, shown: str | None = None) -> Tensor:
    """Logits of uint8 images (N, C, H, W): float32 (N, K) on the CPU.

    While it takes long, a bar says how far it is, under the name ``shown``; None shows none.
    """
    forward = _forward(model, device)
    return torch.cat([forward(to_float(block, device.torch)).cpu() for block in _blocks(images, device, shown)])


@torch.inference_mode()
def averaged_logits(
    model: nn.Module,
    images: Tensor,
    device: Device,
    plain: Tensor,
    *,
    views: str,
    limit: float = 1.0,
    shown: str | None = None,
) -> Tensor:
    """The logits of `logits`, ``plain``, averaged over ``views`` where their confidence is at most ``limit``.

    "flip" averages an image with its mirror image; "flip+shift" gives that half the weight, and a quarter each to the
    mirrored pairs of the image shifted by one pixel to the upper left and to the lower right (arXiv 2404.00498).
    """
    rows = (confidence(plain) <= limit).nonzero()[:, 0]
    found, forward = plain.clone(), _forward(model, device)
    if not len(rows):
        return found
    chosen = images if len(rows) == len(images) else images[rows]
    for block, part in zip(_blocks(chosen, device, shown), torch.split(rows, _size(device)), strict=True):
        batch = to_float(block, device.torch)
        straight = plain[part].to(device.torch)
        found[part] = _average(forward, batch, straight, shift=views == "flip+shift").cpu()
    return found


def _forward(model: nn.Module, device: Device) -> Callable[[Tensor], Tensor]:
    model.eval()

    def forward(batch: Tensor) -> Tensor:
        with device.autocast():
            scores: Tensor = model(batch)
        return scores.float()

    return forward


def _size(device: Device) -> int:
    return BATCH if device.torch.type == "cpu" else GPU_BATCH


def _blocks(images: Tensor, device: Device, shown: str | None) -> Iterable[Tensor]:
    blocks = torch.split(images, _size(device))
    return counted(blocks, len(blocks), shown) if shown and len(blocks) > 1 else blocks


def _average(forward: Callable[[Tensor], Tensor], batch: Tensor, straight: Tensor, *, shift: bool) -> Tensor:
    mirrored = (straight + forward(batch.flip(-1))) / 2
    if not shift:
        return mirrored
    height, width = batch.shape[-2:]
    padded = pad(batch, (1, 1, 1, 1), mode="reflect")
    shifted = [padded[..., 2 * i : 2 * i + height, 2 * i : 2 * i + width] for i in (0, 1)]
    pairs = [(forward(view) + forward(view.flip(-1))) / 2 for view in shifted]
    return (mirrored + (pairs[0] + pairs[1]) / 2) / 2
