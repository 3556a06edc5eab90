"""Predict with a trained model, plainly and with test-time augmentation."""

from collections.abc import Callable
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
    model: Classifier, images: ImageSet, device: Device, *, split: str, views: str = "none"
) -> tuple[Predictions, Predictions | None]:
    """Score an image set: the plain predictions, and those averaged over ``views`` unless that is "none"."""
    plain, averaged = logits(model, images.images, device, views=views, shown=f"scoring {split}")
    paths = None if images.paths is None else tuple(map(readable, images.paths))
    predictions = Predictions(
        plain.numpy(), images.labels.numpy(), images.classes, images.ids.numpy(), split, paths=paths
    )
    if averaged is None:
        return predictions, None
    return predictions, replace(predictions, logits=averaged.numpy(), views=VIEWS[views])


@torch.inference_mode()
def logits(
    model: nn.Module, images: Tensor, device: Device, *, views: str = "none", shown: str | None = None
) -> tuple[Tensor, Tensor | None]:
    """Logits of uint8 images (N, C, H, W): float32 (N, K) on the CPU, plain and averaged over ``views``.

    While it takes long, a bar says how far it is, under the name ``shown``; None shows none.

    "flip" averages an image with its mirror image; "flip+shift" gives that half the weight, and a quarter each to the
    mirrored pairs of the image shifted by one pixel to the upper left and to the lower right (arXiv 2404.00498).
    """
    model.eval()

    def forward(batch: Tensor) -> Tensor:
        with device.autocast():
            scores: Tensor = model(batch)
        return scores.float()

    plain, averaged = [], []
    blocks = torch.split(images, BATCH if device.torch.type == "cpu" else GPU_BATCH)
    for block in counted(blocks, len(blocks), shown) if shown and len(blocks) > 1 else blocks:
        batch = to_float(block, device.torch)
        straight = forward(batch)
        plain.append(straight)
        if views != "none":
            averaged.append(_average(forward, batch, straight, shift=views == "flip+shift"))
    return torch.cat(plain).cpu(), torch.cat(averaged).cpu() if averaged else None


def _average(forward: Callable[[Tensor], Tensor], batch: Tensor, straight: Tensor, *, shift: bool) -> Tensor:
    mirrored = (straight + forward(batch.flip(-1))) / 2
    if not shift:
        return mirrored
    height, width = batch.shape[-2:]
    padded = pad(batch, (1, 1, 1, 1), mode="reflect")
    shifted = [padded[..., 2 * i : 2 * i + height, 2 * i : 2 * i + width] for i in (0, 1)]
    pairs = [(forward(view) + forward(view.flip(-1))) / 2 for view in shifted]
    return (mirrored + (pairs[0] + pairs[1]) / 2) / 2
