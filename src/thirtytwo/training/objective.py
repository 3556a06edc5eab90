"""What a training minimises: the cross-entropy with the labels, and with a teacher also with its answers."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from thirtytwo.augment import Batch
from thirtytwo.device import Device
from thirtytwo.models.classifier import Classifier

Objective = Callable[[Tensor, Batch], Tensor]
"""Logits, float32 (B, K), of a batch's images -> the loss, a mean over the batch."""


@dataclass(frozen=True, eq=False)
class Labels:
    """Cross-entropy with a batch's targets.

    Attributes:
        class_weights: float32 (K,), or None for equal weights.
        smoothing: share of each target that is spread over all classes.
    """

    class_weights: Tensor | None
    smoothing: float

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """The loss, a mean over the batch, for logits (B, K)."""
        return cross_entropy(logits, batch.targets, self.class_weights, label_smoothing=self.smoothing)


@dataclass(frozen=True, eq=False)
class Distillation:
    """Hinton, Vinyals and Dean 2015 (arXiv 1503.02531): the labels, and a teacher's output for the same images.

    Attributes:
        labels: the labels' part of the loss.
        teacher: in evaluation mode, on ``device``; it sees the augmented images.
        device: where and in which precision it computes.
        temperature: what both networks' logits are divided by.
        weight: the teacher's share of the loss, in 0..1; the rest is the labels'.
    """

    labels: Labels
    teacher: Classifier
    device: Device
    temperature: float
    weight: float

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """The loss, a mean over the batch, for logits (B, K)."""
        with torch.no_grad(), self.device.autocast():
            taught = self.teacher(batch.images)
        soft = divergence(logits, taught.float(), self.temperature)
        return (1 - self.weight) * self.labels(logits, batch) + self.weight * soft


def divergence(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(taught / T) || softmax(logits / T)) in nats, a mean over the rows of both, (B, K).

    T^2 keeps the size of the gradient, which falls with 1 / T^2, so that a change of T leaves the shares of the two
    parts of the loss as they are.
    """
    answers, targets = (log_softmax(each / temperature, 1) for each in (logits, taught))
    return temperature**2 * kl_div(answers, targets, reduction="batchmean", log_target=True)
