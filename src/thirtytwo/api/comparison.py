"""Compare runs, or predictions from anywhere."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from thirtytwo.errors import UserError
from thirtytwo.evaluation.compare import Compared, Scored, bases_of, groups_of
from thirtytwo.evaluation.compare import compare as compare_groups
from thirtytwo.runs.run import Run
from thirtytwo.study.folder import StudyFolder


@runtime_checkable
class InFolder(Protocol):
    """A `Run`, a `TrainedRun`: anything with a run's folder."""

    @property
    def path(self) -> Path:
        """The run's folder."""


AnyRun = InFolder | str | Path
Comparable = AnyRun | Sequence[AnyRun] | Scored | Mapping[int, Scored]
"""A run, or several that differ in their seed only; or one network's predictions, or several networks' by seed."""


def compare(
    groups: Mapping[str, Comparable],
    *,
    against: str | None = None,
    split: Literal["val", "test"] = "val",
    score: str = "accuracy",
) -> list[Compared]:
    """Compare runs, or groups of runs of several seeds: differences, intervals, and whether chance explains them.

    >>> from thirtytwo import compare
    >>> import numpy as np
    >>> labels = np.arange(100) % 2
    >>> right, wrong = 3 * np.eye(2)[labels], 3 * np.eye(2)[1 - labels]
    >>> rows = compare({"good": (right, labels), "half": (np.r_[right[:50], wrong[50:]], labels)})
    >>> rows[1].difference.value.value, rows[1].difference.verdict
    (-0.5, 'worse')

    Args:
        groups: by name, a run (opened, or its folder) or several; or, from anywhere, `Predictions` or a pair of
            logits (N, K) and labels (N,), which may be given by seed.
        against: the group that the others are compared with; by default the first.
        split: which predictions of runs are compared. Choose on val; test is for the last word.
        score: a registered metric that is a mean over images.

    Raises UserError for fewer than two groups, a run that was not scored, and groups that cannot be compared.
    """
    if len(groups) < 2:
        raise UserError(f"{len(groups)} groups to compare: name two or more, compare({{'a': ..., 'b': ...}})")
    found = groups_of({name: _said(each, split) for name, each in groups.items()}, score)
    return compare_groups(found, bases_of(found, next(iter(groups)) if against is None else against))


def _said(given: Any, split: str) -> Scored | Mapping[int, Scored]:
    """The predictions by seed of the runs that are ``given``; anything else as it is."""
    runs = [given] if isinstance(given, AnyRun) else given
    if not isinstance(runs, list | tuple) or not runs or not all(isinstance(each, AnyRun) for each in runs):
        said: Scored | Mapping[int, Scored] = given
        return said
    return _by_seed([Run.open(each if isinstance(each, str | Path) else each.path) for each in runs], split)


def _by_seed(runs: Sequence[Run], split: str) -> dict[int, Scored]:
    found: dict[int, Scored] = {}
    for run in runs:
        scored = run.predictions(split)
        if scored is None:
            remedy = f"`thirtytwo train --resume {run.path}`"
            if split == "test":
                study = StudyFolder.withholding(run.path)
                remedy = f"`thirtytwo study close {study.path}`" if study else f"`thirtytwo test {run.path}`"
            raise UserError(f"{run.path}: was not scored on {split}: {remedy} does it")
        if run.recipe.seed in found:
            raise UserError(f"{run.path}: another run of its group has seed {run.recipe.seed} too: leave one out")
        found[run.recipe.seed] = scored[0]
    return found
