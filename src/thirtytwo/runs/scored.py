"""A run's stored scores: computed once, when a split is scored, and read from then on. Needs no torch.

Runs older than scores.json have none stored, and runs scored before a metric was registered lack that metric: what is
missing is computed from the stored predictions, and is stored when the run is scored again.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite, nan
from typing import Any

from thirtytwo.errors import UserError
from thirtytwo.evaluation.estimate import Estimate
from thirtytwo.evaluation.metrics import metrics, score
from thirtytwo.evaluation.predictions import Predictions
from thirtytwo.imports import blamed
from thirtytwo.records import Scoring
from thirtytwo.runs.run import SPLITS, Run

log = logging.getLogger("thirtytwo")


@dataclass(frozen=True)
class Scored:
    """One scoring of one split: all its scores, with intervals.

    Attributes:
        split: "val" or "test".
        views: how many augmented views of each image were averaged; 1 is none.
        n: images.
        right: how many of them were predicted right.
        scores: by name, in the order of the registry.
    """

    split: str
    views: int
    n: int
    right: int
    scores: dict[str, Estimate]

    @property
    def name(self) -> str:
        """``test``, or ``test, 6 views`` with test-time augmentation."""
        return self.split if self.views == 1 else f"{self.split}, {self.views} views"


def stored_scores(run: Run) -> list[Scored]:
    """Every scoring that the run holds: val, then test, each without test-time augmentation first."""
    return [
        Scored(each["split"], each["views"], each["n"], each["right"], _estimates(each))
        for each in _scorings(run, SPLITS)
    ]


def store_scores(run: Run, *scored: Predictions) -> None:
    """Compute the scores of one split, and write them to scores.json and results.csv, with those of the other split."""
    others = _scorings(run, [split for split in SPLITS if split != scored[0].split])
    scorings = [*others, *(_scoring(each) for each in scored)]
    run.write_scores(sorted(scorings, key=lambda each: SPLITS.index(each["split"])))
    run.write_results([_row(run, each) for each in scorings])


def require_readable(run: Run) -> None:
    """Raise UserError where a file is damaged that `store_scores` reads."""
    run.results()
    stored = run.scores()
    for split in SPLITS:
        if _incomplete([each for each in stored if each["split"] == split]):
            run.predictions(split)


def _incomplete(stored: Sequence[Scoring]) -> bool:
    """Whether a split's scorings lack some registered metric."""
    return not stored or any(name not in each["scores"] for each in stored for name in metrics)


def _scorings(run: Run, splits: Sequence[str]) -> list[Scoring]:
    """The scorings of ``splits``, with every registered metric: what is not stored is computed."""
    stored, found = run.scores(), list[Scoring]()
    for split in splits:
        there = [each for each in stored if each["split"] == split]
        if _incomplete(there):
            predicted = [each for each in run.predictions(split) or () if each is not None]
            known = {each["views"]: each["scores"] for each in there}
            there = [_scoring(each, known.get(each.views, {})) for each in predicted]
        found += there
    return found


def _scoring(predictions: Predictions, known: Mapping[str, Any] = {}) -> Scoring:
    """An entry of scores.json; the scores in ``known`` are not computed again.

    A metric that fails, which a user's may, is left out with a warning: the training before it is not lost.
    """
    scores: dict[str, Any] = {}
    for name in metrics:
        try:
            scores[name] = known[name] if name in known else _json(score(name, predictions))
        except Exception as error:  # noqa: BLE001  (the user's code may raise anything)
            said = str(error) if isinstance(error, UserError) else blamed(error) or f"{type(error).__name__}: {error}"
            _warn_once(f"metric '{name}' failed, and is left out ({' '.join(said.split())})")
    return {
        "split": "val" if predictions.split == "val" else "test",
        "views": predictions.views,
        "n": len(predictions),
        "right": int(predictions.correct.sum()),
        "scores": scores | {name: each for name, each in known.items() if name not in scores},
    }


@cache
def _warn_once(said: str) -> None:
    """Each reader of a run's scores tries the failing metric again; one line is enough."""
    log.warning(said)


def _json(estimate: Estimate | None) -> Any:
    """An estimate for JSON, in which nan and infinity are null."""
    if estimate is None:
        return None
    ends = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {**{name: each if isfinite(each) else None for name, each in ends.items()}, "n": estimate.n}


def _estimates(scoring: Scoring) -> dict[str, Estimate]:
    return {
        name: Estimate(_number(each["value"]), _number(each["low"]), _number(each["high"]), each["n"])
        for name, each in scoring["scores"].items()
        if each is not None
    }


def _number(stored: float | None) -> float:
    return nan if stored is None else stored


def _row(run: Run, scoring: Scoring) -> dict[str, Any]:
    """A row of results.csv."""
    row: dict[str, Any] = {"run": run.name, "seed": run.recipe.seed}
    row |= {key: scoring[key] for key in ("split", "views", "n")}
    for name, estimate in _estimates(scoring).items():
        ends = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
        row |= {f"{name}{end}": f"{value:.6g}" for end, value in ends.items()}
    return row
