"""Augmentation on its own: for the batches of the user's own training loop."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from thirtytwo.augment import Batch, Chain
from thirtytwo.errors import UserError
from thirtytwo.rng import generator
from thirtytwo.words import plural

ROUNDING = 1e-3
"""How far outside 0..1 a pixel may be, since interpolation rounds."""


class Augmenter:
    """Augments one batch after another; create one with `augment`.

    Call number n makes the same draws as step n of a training with this seed. The arguments are not modified, and no
    other random generator is advanced.

    Attributes:
        chain: the augmentations.
        seed: determines every draw.
        classes: the number of classes, or None.
        calls: how many batches have been augmented so far. Set it when you resume a loop that was stopped.
    """

    def __init__(self, text: str, *, seed: int = 0, classes: int | None = None) -> None:
        if not isinstance(text, str):
            raise UserError(f"augment takes text such as 'flip|translate(4)', not {type(text).__name__}")
        if not isinstance(seed, int):
            raise UserError(f"seed must be a whole number, not {seed!r}")
        if classes is not None and (not isinstance(classes, int) or classes < 2):
            raise UserError(f"classes must be a whole number from 2 up, not {classes!r}")
        self.chain = Chain.parse(text)
        self.seed = seed
        self.classes = classes
        self.calls = 0

    def __call__(
        self, images: Tensor, targets: Tensor, *, ids: Tensor | None = None, epoch: int = 0
    ) -> tuple[Tensor, Tensor]:
        """The images and targets of a batch, augmented, on the device that they are on.

        Args:
            images: float32 (B, C, H, W) in 0..1, C is 1 (grey) or 3 (RGB), not normalised yet.
            targets: int labels (B,), or float targets (B, K) in 0..1: one-hot, smoothed or mixed.
            ids: int64 (B,), each image's number in its training set; only ``flip_alternating`` needs them.
            epoch: passes over the training set completed before; only ``flip_alternating`` needs it.

        Returns:
            The augmented images, and the targets: int labels (B,) unchanged, or float32 targets (B, K) if they were
            given as such or ``classes`` is known.

        Raises:
            UserError: for tensors of the wrong shape, type, device or range, and for labels that would be mixed while
                ``classes`` is not known.
        """
        _require_images(images)
        _require_fit(images, targets)
        if ids is not None and ids.shape != (len(images),):
            raise UserError(
                f"{plural(len(images), 'image')} but ids of shape {tuple(ids.shape)}: pass one number per image"
            )
        given = _float_targets(targets, self.classes)
        batch = Batch(images, given, ids, epoch, self.seed)
        changed = self.chain(batch, generator(self.seed, "augment", self.calls, device=images.device))
        labels_alone = self.classes is None and targets.ndim == 1
        if labels_alone and changed.targets is not given:
            raise UserError(
                "these augmentations mix targets, which int labels cannot hold: pass classes=, the number of "
                "classes, or float targets (B, K)"
            )
        self.calls += 1
        return changed.images, targets if labels_alone else changed.targets


def _require_images(images: Tensor) -> None:
    if not isinstance(images, Tensor):
        raise UserError(f"images must be a tensor, not {type(images).__name__}: convert an array with torch.from_numpy")
    shape = tuple(images.shape)
    if images.ndim == 4 and shape[1] not in (1, 3) and shape[3] in (1, 3):
        raise UserError(f"images are {shape}, (B, H, W, C): pass images.permute(0, 3, 1, 2)")
    if images.ndim != 4 or shape[1] not in (1, 3):
        raise UserError(f"images must be (B, C, H, W) with 1 or 3 channels, not {shape}")
    if images.dtype == torch.uint8:
        raise UserError("images are uint8: pass floats in 0..1, images.float() / 255")
    if images.dtype != torch.float32:
        raise UserError(f"images must be float32, not {_name(images.dtype)}: pass images.float()")
    if not images.numel():
        raise UserError(f"images of shape {shape} have no pixels: pass one or more")
    low, high = (float(end) for end in images.aminmax())
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        remedy = "normalise after augmenting" if low < 0 else "divide by 255" if high > 2 else "clamp them"
        raise UserError(f"images must lie in 0..1, not {low:.4g} to {high:.4g}: {remedy}")


def _require_fit(images: Tensor, targets: Tensor) -> None:
    """Raises UserError unless ``targets`` are labels or float targets for that many images, on the same device."""
    if not isinstance(targets, Tensor):
        raise UserError(f"targets must be a tensor, not {type(targets).__name__}: convert a list with torch.tensor")
    whole = not (targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool)
    soft = targets.is_floating_point() and targets.ndim == 2 and targets.shape[1] > 0
    if not (soft or (whole and targets.ndim == 1)):
        raise UserError(
            "targets must be int labels (B,) or float targets (B, K), not "
            f"{_name(targets.dtype)} {tuple(targets.shape)}"
        )
    if len(targets) != len(images):
        raise UserError(f"{plural(len(images), 'image')} but {plural(len(targets), 'target')}: pass one per image")
    if targets.device != images.device:
        raise UserError(f"images are on {images.device}, targets on {targets.device}: move one of them")


def _float_targets(targets: Tensor, classes: int | None) -> Tensor:
    """Float32 targets (B, K): as given, or one-hot labels; while K is unknown, the labels themselves as (B, 1)."""
    low, high = targets.aminmax()
    if targets.ndim == 2:
        if classes is not None and targets.shape[1] != classes:
            raise UserError(f"targets have {plural(targets.shape[1], 'class')}, but classes={classes}: make them agree")
        if not (low >= 0 and high <= 1):
            raise UserError(f"float targets must lie in 0..1, not {float(low):.4g} to {float(high):.4g}")
        return targets.float()
    if low < 0 or (classes is not None and high >= classes):
        last = "" if classes is None else f" to {classes - 1}"
        raise UserError(f"labels must be whole numbers from 0{last}, not {int(low)} to {int(high)}")
    return targets[:, None].float() if classes is None else one_hot(targets.long(), classes).float()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
