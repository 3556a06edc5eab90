"""Compare runs, or predictions from anywhere."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
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
    """A run's predictions of a split, and what its images are, as `SplitRecord` has it; "" where that is not known."""

    predictions: Predictions
    version: int
    content: str

    def images(self) -> list[tuple[str, int, int]]:
        """What tells its images apart: content, label and how many of the same came before, so that copies count."""
        before: Counter[tuple[str, int]] = Counter()
        found = []
        for i, label in enumerate(self.predictions.labels.tolist()):
            image = f"{self.version} {self.content[16 * i : 16 * i + 16]}", label
            found.append((*image, before[image]))
            before[image] += 1
        return found

    def same_as(self, other: "_OfRun") -> bool:
        """Whether these are the same images in the same order, with the same labels."""
        mine, theirs = (self.version, self.content), (other.version, other.content)
        return mine == theirs and np.array_equal(self.predictions.labels, other.predictions.labels)


def _on_the_same(groups: Mapping[str, Mapping[int, _OfRun]], split: str) -> dict[str, dict[int, Predictions]]:
    """The predictions by group and seed; of images that all runs were scored on, where that is not so of all.

    Images that are the same have the same ids, whatever place in its source each run found them at. Raises UserError
    where there are none.
    """
    every = [each for group in groups.values() for each in group.values()]
    alike = all(each.content and each.predictions.classes == every[0].predictions.classes for each in every)
    if not alike:
        return {name: {seed: each.predictions for seed, each in group.items()} for name, group in groups.items()}
    if all(each.same_as(every[0]) for each in every):
        return {
            name: {seed: replace(each.predictions, ids=every[0].predictions.ids) for seed, each in group.items()}
            for name, group in groups.items()
        }
    images = {name: {seed: each.images() for seed, each in group.items()} for name, group in groups.items()}
    shared = set.intersection(*(set(each) for group in images.values() for each in group.values()))
    if not shared:
        raise UserError(f"no image of {split} was scored by all of these runs: compare runs of one data set")
    sizes = sorted({len(each.predictions) for each in every})
    if sizes != [len(shared)]:
        of = " to ".join(f"{size:,}" for size in dict.fromkeys((sizes[0], sizes[-1])))
        log.warning("compared on the %d images of %s that all runs were scored on (of %s)", len(shared), split, of)
    return {
        name: {seed: _only(shared, images[name][seed], each.predictions) for seed, each in group.items()}
        for name, group in groups.items()
    }


def _only(shared: Set[tuple[str, int, int]], images: Sequence[tuple[str, int, int]], found: Predictions) -> Predictions:
    """The predictions of the images in ``shared``, in one order for all runs; their places there are the ids."""
    rows = sorted((i for i, image in enumerate(images) if image in shared), key=images.__getitem__)
    return replace(found, logits=found.logits[rows], labels=found.labels[rows], ids=np.arange(len(rows)), paths=None)


def _of_run(run: Run, scored: Predictions) -> _OfRun:
    cut = run.split
    content = cut["content"][scored.split] if cut and "content" in cut else ""
    return _OfRun(scored, cut.get("version", 1) if cut else 1, content)


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
        found[run.recipe.seed] = _of_run(run, scored[0])
    return found
