"""When a training is saved, what is saved, and how it is resumed."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from thirtytwo.errors import UserError
from thirtytwo.records import CheckpointState, Solved
from thirtytwo.runs import checkpoint
from thirtytwo.runs.run import Run
from thirtytwo.training.build import Parts
from thirtytwo.training.early_stopping import EarlyStopping
from thirtytwo.training.meter import Meter, NotFinite

log = logging.getLogger("thirtytwo")


class Checkpointing:
    """The checkpoints of one training: parts, meter and early stopping, as they are between two steps.

    Args:
        run: whose folder holds them.
        parts: what is trained; saved, and restored.
        meter: likewise.
        stopping: likewise.
        every: seconds between two checkpoints.
    """

    def __init__(self, run: Run, parts: Parts, meter: Meter, stopping: EarlyStopping, every: float) -> None:
        self.run, self.parts, self.meter, self.stopping, self.every = run, parts, meter, stopping, every
        self._saved = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last checkpoint is old enough for another."""
        return time.monotonic() - self._saved > self.every

    def save(self, seconds: float) -> None:
        """Write a checkpoint, after ``seconds`` of training.

        Raises NotFinite, and writes nothing, if a number is not finite.
        """
        tensors = {
            **_prefixed("model", dict(self.parts.model.state_dict())),
            **_prefixed("optimizer", self.parts.optimizer.tensors()),
            **_prefixed("average", self.parts.average.tensors()),
            **_prefixed("best", self.stopping.weights),
            **self.meter.tensors(),
        }
        step = self.meter.step
        self.meter.require_finite()
        require_finite(tensors, step)
        state: CheckpointState = {
            "step": step,
            "seconds": seconds,
            "best": self.stopping.state(),
            "schedule": self.parts.schedule.state(),
            "average_steps": self.parts.average.steps,
        }
        checkpoint.save(self.run.checkpoints, step, tensors, state)
        self.run.set_status("running", step=step, seconds=seconds)
        self._saved = time.monotonic()

    def restore(self) -> float:
        """Restore the newest valid checkpoint, if there is one, and return the seconds of training before it.

        The run forgets the evaluations after it. Raises UserError if it does not fit the parts, or none is valid.
        """
        found = checkpoint.newest(self.run.checkpoints)
        if found is None:
            if origin := self.run.env.get("continued"):
                raise UserError(
                    f"{self.run.path}: the checkpoint that it goes on from is gone: `thirtytwo train --continue "
                    f"{origin['run']}` begins it again"
                )
            if before := self.run.status.get("step", 0):
                log.warning("%s: has no checkpoint of its %d steps: starting again", self.run.path, before)
            self.run.forget_after(0)
            return 0.0
        tensors, state, damaged = found
        for line in damaged:
            log.warning("%s: continuing from step %d", line, state["step"])
        parts = self.parts
        model, best = dict(parts.model.state_dict()), _section("best", tensors)
        with _fitting(self.run, state["step"]):
            checkpoint.require_like(best, model if best else {}, "best.")
            _require_meter(tensors)
            _restore_model(parts, tensors)
            parts.optimizer.load_tensors(_section("optimizer", tensors))
            checkpoint.require_like(_section("average", tensors), parts.average.tensors(), "average.")
            parts.average.load_tensors(_section("average", tensors), state["average_steps"])
        parts.schedule.restore(state["schedule"])
        self.stopping.restore(state["best"], best)
        self.meter.load_tensors(tensors, state["step"], parts.device.torch)
        self.run.forget_after(state["step"])
        return float(state["seconds"])


def restore_model(run: Run, parts: Parts) -> None:
    """Restore only the model from the newest valid checkpoint, if there is one.

    A network that a program passes in again has different initial weights, unless the program takes care of it.
    """
    if found := checkpoint.newest(run.checkpoints):
        with _fitting(run, found[1]["step"]):
            _restore_model(parts, found[0])


def require_finite(tensors: dict[str, Tensor], step: int) -> None:
    """Raises NotFinite if a number in ``tensors``, as they are after ``step`` steps, is not finite."""
    if any(not bool(each.isfinite().all()) for each in tensors.values() if each.is_floating_point()):
        raise NotFinite(step - 1)


def keep(run: Run, parts: Parts, model: nn.Module, *, step: int, seconds: float, solved: Solved | None = None) -> None:
    """Store the weights of ``model``, that of ``parts`` or its average, in the run, with how it was solved for."""
    card = parts.card()
    if solved is not None:
        card["solved"] = solved
    run.write_model(checkpoint.pack(dict(model.state_dict())), card)
    run.set_status("trained", step=step, seconds=seconds)


@contextmanager
def _fitting(run: Run, step: int) -> Iterator[None]:
    """Within this context, a tensor that does not fit the parts raises a UserError that names it and its file."""
    try:
        yield
    except ValueError as error:
        file = checkpoint.at(run.checkpoints, step) / "tensors.safetensors"
        raise UserError(f"{file}: does not fit the recipe ({error}): restore it, or train again") from None


def _restore_model(parts: Parts, tensors: dict[str, Tensor]) -> None:
    found = _section("model", tensors)
    checkpoint.require_like(found, dict(parts.model.state_dict()), "model.")
    parts.model.load_state_dict(found)


def _require_meter(tensors: dict[str, Tensor]) -> None:
    found = [tensors[name] for name in ("losses", "hits") if name in tensors]
    if len(found) == 1 or any(each.ndim != 1 or each.dtype != torch.float32 for each in found):
        raise ValueError("losses and hits are not float32, one of each per step")
    if len({len(each) for each in found}) > 1:
        raise ValueError("losses and hits differ in number")


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _section(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")}
