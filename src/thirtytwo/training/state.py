"""Where a training stands: what it remembers between two steps, its checkpoints, and its part of the run's files."""

import logging
import time
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from thirtytwo.augment import Batch
from thirtytwo.errors import UserError
from thirtytwo.evaluation.predict import logits
from thirtytwo.runs import checkpoint
from thirtytwo.runs.card import describe
from thirtytwo.runs.run import Run
from thirtytwo.training.build import Parts

log = logging.getLogger("thirtytwo")


@dataclass(frozen=True)
class Progress:
    """Where a training stands."""

    step: int
    steps: int
    epoch: float
    loss: float
    val_accuracies: tuple[float, ...]
    seconds: float
    """Spent so far, earlier sittings of a resumed run included."""
    remaining: float
    """Expected until the last step, in seconds."""


@dataclass
class Best:
    """The best evaluation so far, for early stopping."""

    loss: float = inf
    waited: int = 0
    tensors: dict[str, Tensor] = field(default_factory=dict)


class State:
    """All that a training remembers between two steps beside its parts, with the run's files that follow from it."""

    def __init__(self, parts: Parts, run: Run) -> None:
        self.parts, self.run = parts, run
        self.step = 0
        self.best = Best()
        self._losses: list[Tensor] = []
        self._hits: list[Tensor] = []
        self._checked = 0
        self._before = 0.0
        self._restore()
        if parts.features is not None:
            self._before += parts.features.seconds
        self._began = self._saved = self._ticked = time.monotonic()
        self._first = self.step
        run.set_status("running", step=self.step, steps=parts.steps, seconds=self._before)

    @property
    def seconds(self) -> float:
        """Seconds of training and evaluating, over all sittings."""
        return self._before + time.monotonic() - self._began

    @property
    def checkpoint_age(self) -> float:
        """Seconds since the last checkpoint."""
        return time.monotonic() - self._saved

    @property
    def tick_age(self) -> float:
        """Seconds since the last report of progress."""
        return time.monotonic() - self._ticked

    def record(self, step: int, loss: Tensor, logits: Tensor, batch: Batch) -> None:
        """Note a step's loss and accuracy, on the device: nothing waits for it."""
        self.step = step + 1
        self._losses.append(loss)
        self._hits.append((logits.argmax(1) == batch.targets.argmax(1)).float().mean())

    def evaluation_due(self) -> bool:
        """Whether this step crosses a multiple of `train.eval_every` epochs, or is the last."""
        every = self.parts.recipe.train.eval_every * self.parts.feed.steps_per_epoch
        return self.step == self.parts.steps or int(self.step / every) > int((self.step - 1) / every)

    def evaluate(self) -> None:
        """Score val, append to the run's metrics, and tell the schedule and the patience."""
        self._require_finite()
        loss, accuracy = score_val(self.parts)
        if not isfinite(loss):
            raise self._not_finite(self.step - 1)
        self.parts.schedule.observe(loss)
        if loss < self.best.loss:
            self.best.loss, self.best.waited = loss, 0
            if self.parts.recipe.train.patience is not None:
                self.best.tensors = {k: v.clone() for k, v in self.parts.average.model.state_dict().items()}
        else:
            self.best.waited += 1
        self.run.log(
            {
                "step": self.step,
                "epoch": round(self.parts.feed.epoch(self.step), 4),
                "lr": max(group["lr"] for group in self.parts.optimizer.groups),
                "train_loss": float(torch.stack(self._losses).mean()),
                "train_accuracy": float(torch.stack(self._hits).mean()),
                "val_loss": loss,
                "val_accuracy": accuracy,
                "seconds": round(self.seconds, 3),
            }
        )
        self._losses, self._hits, self._checked = [], [], 0

    def out_of_patience(self) -> bool:
        """Whether val's loss has not improved for `train.patience` evaluations."""
        patience = self.parts.recipe.train.patience
        return patience is not None and self.best.waited >= patience

    def progress(self) -> Progress:
        """Where the training stands. Raises UserError when the loss is not finite."""
        self._ticked = time.monotonic()
        self._require_finite()
        metrics = self.run.metrics()
        loss = float(self._losses[-1]) if self._losses else metrics[-1]["train_loss"]
        rate = (time.monotonic() - self._began) / max(1, self.step - self._first)
        return Progress(
            step=self.step,
            steps=self.parts.steps,
            epoch=self.parts.feed.epoch(self.step),
            loss=loss,
            val_accuracies=tuple(record["val_accuracy"] for record in metrics),
            seconds=self.seconds,
            remaining=rate * (self.parts.steps - self.step),
        )

    def save(self) -> None:
        """Write a checkpoint. Raises UserError, and writes none, when a loss or a weight is not finite."""
        tensors = {
            **_prefixed("model", dict(self.parts.model.state_dict())),
            **_prefixed("optimizer", self.parts.optimizer.tensors()),
            **_prefixed("average", self.parts.average.tensors()),
            **_prefixed("best", self.best.tensors),
        }
        if self._losses:
            tensors |= {"losses": torch.stack(self._losses), "hits": torch.stack(self._hits)}
        self._require_finite(tensors)
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "best": {"loss": None if self.best.loss == inf else self.best.loss, "waited": self.best.waited},
            "schedule": self.parts.schedule.state(),
            "average_steps": self.parts.average.steps,
        }
        checkpoint.save(self.run.checkpoints, self.step, tensors, state)
        self.run.set_status("running", step=self.step, seconds=self.seconds)
        self._saved = time.monotonic()

    def finish(self) -> None:
        """Leave the trained weights in the run: the best ones on val where there is a patience, else the last."""
        model = self.parts.average.model
        if self.best.tensors:
            model.load_state_dict(self.best.tensors)
        self._require_finite(dict(model.state_dict()))
        # A training that was resumed behind its last step has trained nothing here: what is frozen is the last step's.
        self.parts.freeze.hold(self.parts.feed.epoch(max(0, self.step - 1)))
        keep(self.run, self.parts, model, step=self.step, seconds=self.seconds)

    def _restore(self) -> None:
        found = checkpoint.newest(self.run.checkpoints)
        if found is None:
            if before := self.run.status.get("step", 0):
                log.warning("%s: holds no checkpoint of the %d steps done: starting again", self.run.path, before)
            self.run.forget_after(0)
            return
        tensors, state, damaged = found
        for line in damaged:
            log.warning("%s: going on from step %d", line, state["step"])
        try:
            self.parts.model.load_state_dict(_section("model", tensors))
            self.parts.optimizer.load_tensors(_section("optimizer", tensors))
            self.parts.average.load_tensors(_section("average", tensors), state["average_steps"])
        except (RuntimeError, ValueError, KeyError) as error:
            reason = str(error).partition("\n")[0]
            raise UserError(
                f"{self.run.checkpoints}: do not fit the recipe's parts ({reason}): has a file changed?"
            ) from None
        self.parts.schedule.restore(state["schedule"])
        best = state["best"]
        self.best = Best(inf if best["loss"] is None else best["loss"], best["waited"], _section("best", tensors))
        device = self.parts.device.torch
        self._losses = list(tensors["losses"].to(device)) if "losses" in tensors else []
        self._hits = list(tensors["hits"].to(device)) if "hits" in tensors else []
        self.step, self._before = state["step"], state["seconds"]
        self.run.forget_after(self.step)

    def _require_finite(self, tensors: dict[str, Tensor] | None = None) -> None:
        """Raises UserError when a loss since the last check, or one of ``tensors``, is not finite."""
        if self._checked < len(self._losses):
            bad = (~torch.stack(self._losses[self._checked :]).isfinite()).nonzero()
            if len(bad):
                raise self._not_finite(self.step - len(self._losses) + self._checked + int(bad[0]))
            self._checked = len(self._losses)
        if any(not bool(each.isfinite().all()) for each in (tensors or {}).values() if each.is_floating_point()):
            raise self._not_finite(self.step - 1)

    def _not_finite(self, step: int) -> UserError:
        """What to tell about the step (counted from 0) that spoilt the training; the run is marked as failed."""
        epoch, batch = divmod(step, self.parts.feed.steps_per_epoch)
        kept = checkpoint.steps(self.run.checkpoints)
        message = (
            f"the loss or the weights are not finite at step {step + 1} (epoch {epoch + 1}, batch {batch + 1}): lower "
            f"optim.lr (now {self.parts.recipe.optim.lr:g}) or set optim.clip; "
            + (f"the last good checkpoint is of step {kept[-1]}" if kept else "no checkpoint had been written")
        )
        self.run.set_status("failed", step=step, message=message)
        return UserError(f"{self.run.path}: {message}")


def keep(run: Run, parts: Parts, model: nn.Module, *, step: int, seconds: float, **more: Any) -> None:
    """Leave the weights of ``model``, the one of ``parts`` or its average, in the run; ``more`` joins its card."""
    card = describe(parts.model, parts.recipe, parts.splits.train)
    if parts.features is not None:
        card["feature_views"] = len(parts.features.train)
    run.write_model(checkpoint.pack(dict(model.state_dict())), {**card, **more})
    run.set_status("trained", step=step, seconds=seconds)


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _section(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")}


@torch.inference_mode()
def score_val(parts: Parts) -> tuple[float, float]:
    """Mean cross-entropy on val in nats and share of right answers of a training's model as it stands."""
    model, val = parts.average.model, parts.splits.val
    if parts.features is None:
        scores, _ = logits(model, val.images, parts.device)  # type: ignore[arg-type]
    else:
        with parts.device.autocast():
            scores = parts.features.head_of(model)(parts.features.val).float().cpu()
    right = scores.argmax(1) == val.labels
    return float(cross_entropy(scores, val.labels)), float(right.float().mean())
