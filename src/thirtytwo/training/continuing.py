"""A run that goes on from where another one ended, for more epochs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from thirtytwo.errors import UserError
from thirtytwo.recipe import Recipe
from thirtytwo.records import CheckpointState, Continued
from thirtytwo.runs import checkpoint
from thirtytwo.runs.run import Run
from thirtytwo.training.build import Parts
from thirtytwo.training.early_stopping import EarlyStopping
from thirtytwo.words import plural

CHANGEABLE = (
    "name",
    "augment",
    "schedule",
    "optim.lr",
    "optim.weight_decay",
    "optim.bias_lr",
    "optim.bias_weight_decay",
    "optim.head_lr",
    "optim.clip",
    "train.epochs",
    "train.label_smoothing",
    "train.start_scale",
    "train.full_size_from",
    "train.class_weights",
    "train.patience",
    "train.eval_every",
    "evaluate.views",
    "evaluate.views_share",
)
"""What a training may change on its way. Other keys decide which weights there are, what the optimizer remembers about
them, or which images a step is about."""


def require_begun(run: Run) -> None:
    """Raise UserError unless the run has trained here, so that there is something to go on from."""
    if "imported" in run.env:
        raise UserError(
            f"{run.path}: was imported, so there is no training to resume: `thirtytwo train {run.path}` trains its "
            f"recipe from the start, with model=run:{run.path} from its weights"
        )
    if not run.env:
        raise UserError(
            f"{run.path}: was stopped before its training had begun: `thirtytwo train {run.path}` starts again"
        )


def recipe_of(old: Run, changes: Mapping[str, Any]) -> Recipe:
    """The recipe of ``old`` with some keys changed. Raises UserError for one that cannot change on the way."""
    for key in changes:
        if key not in CHANGEABLE:
            raise UserError(
                f"{key}: cannot change while {old.path} goes on (only {', '.join(CHANGEABLE)}): leave it out, or begin "
                f"anew with its weights: `thirtytwo train {old.path} model=run:{old.path} {key}=...`"
            )
    if old.recipe.train.solver != "steps":
        raise UserError(f"{old.path}: its head was solved for, not trained in epochs: there is nothing to go on with")
    return old.recipe.override(dict(changes))


@dataclass(frozen=True, eq=False)
class HandedOver:
    """What a new run takes from the old one: its newest checkpoint, and the evaluations before that."""

    old: Run
    tensors: dict[str, Tensor]
    state: CheckpointState
    record: Continued

    @classmethod
    def of(cls, old: Run, parts: Parts) -> "HandedOver":
        """What ``old`` left for a training with ``parts``, whose schedule takes over what that of the old one knew.

        Early stopping begins anew: with the old count of evaluations the training would stop at once. Raises UserError
        when there is no checkpoint, or no step left.
        """
        found = checkpoint.newest(old.checkpoints)
        if found is None:
            raise UserError(
                f"{old.path}: keeps no checkpoint to go on from: begin anew with its weights: "
                f"`thirtytwo train {old.path} model=run:{old.path}`"
            )
        tensors, state, _ = found
        step, schedule = state["step"], state["schedule"] if parts.recipe.schedule == old.recipe.schedule else {}
        if step >= parts.steps:
            raise UserError(
                f"train.epochs={parts.recipe.train.epochs:g}: {old.path} has trained "
                f"{plural(round(parts.feed.epoch(step), 3), 'epoch')}: set train.epochs, the new total, above that"
            )
        parts.schedule.restore(schedule)
        before = old.env.get("continued")
        record: Continued = {
            "run": str(old.path.resolve()),
            "step": step,
            "sha256": checkpoint.digest(old.checkpoints, step),
            "rate": parts.schedule(step / parts.steps),
            "looks": len(old.looks()) + (before["looks"] if before else 0),
        }
        kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("best.")}
        return cls(old, kept, {**state, "schedule": schedule, "best": EarlyStopping(None).state()}, record)

    def put(self, new: Run) -> None:
        """Write it into the new run, as if that had trained until here."""
        step = self.record["step"]
        checkpoint.save(new.checkpoints, step, self.tensors, self.state)
        new.log(*(each for each in self.old.metrics() if each["step"] <= step))
        new.set_status("created", step=step, seconds=self.state["seconds"])
