"""Compare runs, or predictions from anywhere."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from thirtytwo.errors import UserError
from thirtytwo.evaluation.compare import Compared, Scored, bases_of, groups_of
from thirtytwo.evaluation.compare import compare as compare_groups
from thirtytwo.evaluation.predictions import Predictions
from thirtytwo.runs.run import Run
from thirtytwo.study.folder import StudyFolder

log = logging.getLogger("thirtytwo")


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
        split: which predictions of runs are compared. Choose on val; test is for the last word. Where some runs were
            scored on more images than others, those that all were scored on are compared, and a warning says so.
        score: a registered metric that is a mean over images.

    Raises UserError for fewer than two groups, a run that was not scored, and groups that cannot be compared.
    """
    if len(groups) < 2:
        raise UserError(f"{len(groups)} groups to compare: name two or more, compare({{'a': ..., 'b': ...}})")
    runs = {name: of for name, each in groups.items() if (of := _runs(each))}
    scored: dict[str, Any] = {**groups, **_on_the_same({name: _by_seed(of, split) for name, of in runs.items()}, split)}
    found = groups_of(scored, score)
    return compare_groups(found, bases_of(found, next(iter(groups)) if against is None else against))


def _runs(given: Any) -> list[Run]:
    """The runs that are ``given``; none if it is anything else."""
    runs = [given] if isinstance(given, AnyRun) else given
    if not isinstance(runs, list | tuple) or not all(isinstance(each, AnyRun) for each in runs):
        return []
    return [Run.open(each if isinstance(each, str | Path) else each.path) for each in runs]


@dataclass(frozen=True, eq=False)
class _OfRun:
    """A run's predictions of a split, and what their images are: uint64 (N,), None where that is not known."""

    predictions: Predictions
    content: np.ndarray | None


def _on_the_same(groups: Mapping[str, Mapping[int, _OfRun]], split: str) -> dict[str, dict[int, Predictions]]:
    """The predictions by group and seed; of images that all runs were scored on, where that is not so of all."""
    contents = [each.content for group in groups.values() for each in group.values()]
    known = [each for each in contents if each is not None]
    if len(known) < len(contents) or all(np.array_equal(known[0], each) for each in known):
        return {name: {seed: each.predictions for seed, each in group.items()} for name, group in groups.items()}
    shared: np.ndarray = reduce(np.intersect1d, known)
    if not len(shared):
        return {name: {seed: each.predictions for seed, each in group.items()} for name, group in groups.items()}
    sizes = sorted({len(each) for each in known} | {len(shared)})
    if len(shared) and len(sizes) > 1:
        said = " to ".join(f"{size:,}" for size in dict.fromkeys((min(map(len, known)), max(map(len, known)))))
        log.warning("compared on the %d images of %s that all runs were scored on (of %s)", len(shared), split, said)
    return {name: {seed: _of_images(each, shared) for seed, each in group.items()} for name, group in groups.items()}


def _of_images(each: _OfRun, shared: np.ndarray) -> Predictions:
    """The predictions of the images whose content is in ``shared``, in its order; their places there are the ids."""
    assert each.content is not None, "known of all"
    content, first = np.unique(each.content, return_index=True)
    rows, found = first[np.isin(content, shared)], each.predictions
    return replace(found, logits=found.logits[rows], labels=found.labels[rows], ids=np.arange(len(rows)), paths=None)


def _by_seed(runs: Sequence[Run], split: str) -> dict[int, _OfRun]:
    found: dict[int, _OfRun] = {}
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
        cut = run.split
        of = cut["content"][split] if cut and "content" in cut else ""
        content = np.frombuffer(bytes.fromhex(of), dtype="<u8")
        found[run.recipe.seed] = _OfRun(scored[0], content if len(content) == len(scored[0]) else None)
    return found
