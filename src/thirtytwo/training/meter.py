"""The losses and accuracies of the steps since the last evaluation."""

import torch
from torch import Tensor

from thirtytwo.augment import Batch


class NotFinite(Exception):
    """A loss or a weight is not a finite number. ``step``, counted from 0, is the one that caused it."""

    def __init__(self, step: int) -> None:
        super().__init__(f"not finite after step {step}")
        self.step = step


class Meter:
    """Losses and accuracies of steps, kept on the device: nothing waits for them until they are requested.

    Args:
        step: steps taken before the first one that is recorded.
    """

    def __init__(self, step: int = 0) -> None:
        self.step = step
        self._losses: list[Tensor] = []
        self._hits: list[Tensor] = []
        self._checked = 0
        self._last = torch.tensor(0.0)

    def record(self, loss: Tensor, logits: Tensor, batch: Batch) -> None:
        """Note the next step's loss, and the share of its batch's images for which the logits (B, K) are right."""
        self.step += 1
        self._last = loss
        self._losses.append(loss)
        self._hits.append((logits.argmax(1) == batch.targets.argmax(1)).float().mean())

    @property
    def last_loss(self) -> float:
        """The last step's loss."""
        return float(self._last)

    @property
    def loss(self) -> float:
        """Mean of the losses since `clear`."""
        return float(torch.stack(self._losses).mean())

    @property
    def accuracy(self) -> float:
        """Mean of the accuracies since `clear`, in 0..1."""
        return float(torch.stack(self._hits).mean())

    def require_finite(self) -> None:
        """Raises NotFinite for the first loss since the last check that is not finite."""
        if self._checked < len(self._losses):
            bad = (~torch.stack(self._losses[self._checked :]).isfinite()).nonzero()
            if len(bad):
                raise NotFinite(self.step - len(self._losses) + self._checked + int(bad[0]))
            self._checked = len(self._losses)

    def clear(self) -> None:
        """Start again, after an evaluation."""
        self._losses, self._hits, self._checked = [], [], 0

    def tensors(self) -> dict[str, Tensor]:
        """Its state, for a checkpoint: float32 (S,) each, of the S steps since `clear`."""
        return {"losses": torch.stack(self._losses), "hits": torch.stack(self._hits)} if self._losses else {}

    def load_tensors(self, tensors: dict[str, Tensor], step: int, device: torch.device) -> None:
        """Restore what `tensors` returned after ``step`` steps."""
        self.step = step
        self._losses = list(tensors["losses"].to(device)) if "losses" in tensors else []
        self._hits = list(tensors["hits"].to(device)) if "hits" in tensors else []
