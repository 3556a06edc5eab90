"""What a report says about a run, as plain data: no HTML, no drawing."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from thirtytwo.evaluation import metrics
from thirtytwo.evaluation.estimate import Estimate, wilson
from thirtytwo.evaluation.metrics import ReliabilityBin
from thirtytwo.evaluation.per_class import ClassScores, per_class
from thirtytwo.evaluation.predictions import Predictions
from thirtytwo.explain.explanation import LayerMaps
from thirtytwo.figures.scores import Curve
from thirtytwo.records import CUT_FROM_TEST, Card, Env, EvaluationRecord, Look, SplitRecord, Status
from thirtytwo.runs.lineage import said
from thirtytwo.runs.run import Run
from thirtytwo.runs.scored import Scored, stored_scores
from thirtytwo.spec import OWN, RUN, Spec
from thirtytwo.study.folder import StudyFolder
from thirtytwo.words import times

Measured = Literal["train_loss", "val_loss", "train_accuracy", "val_accuracy", "lr"]

RIGHT_SHOWN, PAIRS_SHOWN, CLASSES_SHOWN = 18, 12, 3


@dataclass(frozen=True)
class Curves:
    """The curves of the training."""

    loss: list[Curve]
    accuracy: list[Curve]
    learning_rate: list[Curve]


@dataclass(frozen=True)
class Pair:
    """``count`` images of class ``truth`` were predicted as ``predicted``: ``share`` of that class."""

    truth: str
    predicted: str
    count: int
    share: Estimate


@dataclass(frozen=True, eq=False)
class Picture:
    """An image (uint8 (C, H, W)), its class, the predicted class and the probabilities of both.

    ``top`` has the most probable classes with their probabilities, most probable first, and always the true one.
    ``path`` is its file, relative to the data's folder; None where it has none, or an older run did not store it.
    """

    image: np.ndarray
    id: int
    truth: str
    predicted: str
    probability: float
    truth_probability: float
    top: tuple[tuple[str, float], ...]
    path: str | None


@dataclass(frozen=True, eq=False)
class Closeup:
    """One split, predicted without test-time augmentation, class by class and picture by picture."""

    scored: Scored
    classes: list[ClassScores]
    confusion: np.ndarray
    pairs: list[Pair]
    bins: list[ReliabilityBin]
    confidence: float
    calibrated: Estimate
    wrong: list[Picture]
    right: list[Picture]

    @property
    def paths(self) -> bool:
        """Whether the pictures have files of their own that are known."""
        return any(picture.path for picture in (*self.wrong, *self.right))

    @property
    def worst(self) -> list[ClassScores]:
        """The classes of this split, lowest recall first."""
        present = (c for c in self.classes if c.support)
        return sorted(present, key=lambda c: (c.recall.value, c.precision.value if c.predicted else 0.0))

    @property
    def calibration(self) -> str:
        """What the calibration error shows: "calibrated" (nothing), "overconfident" or "underconfident"."""
        if self.scored.scores["ece"].value <= self.calibrated.high:
            return "calibrated"
        return "overconfident" if self.confidence > self.scored.scores["accuracy"].value else "underconfident"


@dataclass(frozen=True, eq=False)
class View:
    """Everything that a report shows.

    Attributes:
        name: the run's name.
        status: status.json: state, step, steps, seconds, message.
        model: model.json (network, size, channels, parameters); None before the end of training.
        data: split.json (name, sizes, class counts, hashes, notes); None before training began.
        classes: their names, in label order.
        scored: one entry per scoring: test before val, each without test-time augmentation first.
        latest: val's accuracy at the last evaluation in training, as long as nothing has been scored.
        closeup: the split that the figures are about: test where it was scored, else val.
        explained: a picture of val and the network's maps for it; None for a run that kept none.
        training: images of train, as `training.preview` makes them, with their class names; None for a run without.
        looks: every scoring of the test split, oldest first.
        caveats: what a reader must know before trusting a figure, one sentence each.
        recipe: as TOML.
        env: what the run ran on.
        command: what trains it again; empty where nothing does.
    """

    name: str
    status: Status
    model: Card | None
    data: SplitRecord | None
    classes: tuple[str, ...]
    scored: list[Scored]
    latest: Estimate | None
    closeup: Closeup | None
    explained: tuple[Picture, LayerMaps] | None
    curves: Curves
    training: tuple[np.ndarray, list[str]] | None
    looks: list[Look]
    caveats: list[str]
    recipe: str
    env: Env
    command: str


def view(run: Run) -> View:
    """Read a run folder into a `View`. Works on a run that is unfinished, interrupted, failed or not scored on test."""
    found = {split: run.predictions(split) for split in ("test", "val")}
    scored = sorted(stored_scores(run), key=lambda each: [*found].index(each.split))
    close = next((both[0] for both in found.values() if both), None)
    looks = [look for look in run.looks() if look["split"] == "test"]
    card, cut = run.card, run.split
    return View(
        name=run.name,
        status=run.status,
        model=card,
        data=cut,
        classes=tuple(cut["classes"]) if cut else (),
        scored=scored,
        latest=None if scored else _latest(run, cut),
        closeup=None if close is None else _closeup(_plain(scored, close), close, run.pictures(close.split)),
        explained=explained(run),
        curves=_curves([] if card and "solved" in card else run.metrics()),
        training=_training(run, cut),
        looks=looks,
        caveats=_caveats(run, card, cut, scored, looks),
        recipe=run.recipe.to_toml(),
        env=run.env,
        command=_command(run),
    )


def explained(run: Run, top: int = CLASSES_SHOWN) -> tuple[Picture, LayerMaps] | None:
    """The picture of val for which a run keeps maps, with ``top`` classes, and the maps; None where it keeps none."""
    stored, scored = run.explanation(), run.predictions("val")
    if stored is None or scored is None:
        return None
    explanation, id_ = stored
    shown = _pictures(scored[0], explanation.picture[None], np.array([id_]), top)
    return (shown[0], explanation) if shown else None


def _training(run: Run, cut: SplitRecord | None) -> tuple[np.ndarray, list[str]] | None:
    stored = run.training_pictures()
    return stored and cut and (stored[0], [cut["classes"][label] for label in stored[1].tolist()])


def _plain(scored: list[Scored], predictions: Predictions) -> Scored:
    """The scoring of these predictions."""
    return next(each for each in scored if (each.split, each.views) == (predictions.split, predictions.views))


def _latest(run: Run, cut: SplitRecord | None) -> Estimate | None:
    lines, n = run.metrics(), cut["sizes"]["val"] if cut else 0
    return wilson(round(lines[-1]["val_accuracy"] * n), n) if lines and n else None


def _closeup(scored: Scored, predictions: Predictions, pictures: tuple[np.ndarray, np.ndarray] | None) -> Closeup:
    matrix = metrics.confusion(predictions)
    shown = [] if pictures is None else _pictures(predictions, *pictures)
    wrong = sorted((p for p in shown if p.truth != p.predicted), key=lambda p: -p.probability)
    return Closeup(
        scored=scored,
        classes=per_class(predictions),
        confusion=matrix,
        pairs=pairs(matrix, predictions.classes),
        bins=metrics.reliability(predictions),
        confidence=float(predictions.probabilities.max(axis=1).mean()),
        calibrated=metrics.calibrated_ece(predictions),
        wrong=wrong,
        right=[p for p in shown if p.truth == p.predicted][:RIGHT_SHOWN],
    )


def pairs(matrix: np.ndarray, classes: tuple[str, ...]) -> list[Pair]:
    """The most frequent confusions of a confusion matrix, most frequent first."""
    support = matrix.sum(axis=1).tolist()
    errors = matrix - np.diag(matrix.diagonal())
    order = np.argsort(-errors, axis=None, kind="stable")[:PAIRS_SHOWN]
    cells = [(int(cell) // len(classes), int(cell) % len(classes)) for cell in order]
    return [
        Pair(classes[t], classes[p], int(errors[t, p]), wilson(int(errors[t, p]), support[t]))
        for t, p in cells
        if errors[t, p]
    ]


def _pictures(predictions: Predictions, images: np.ndarray, ids: np.ndarray, top: int = CLASSES_SHOWN) -> list[Picture]:
    """The stored images that have predictions, in stored order."""
    rows = {id_: row for row, id_ in enumerate(predictions.ids.tolist())}
    probabilities, predicted, labels = predictions.probabilities, predictions.predicted, predictions.labels
    classes = predictions.classes

    def most_probable(row: int) -> tuple[tuple[str, float], ...]:
        order = np.argsort(-probabilities[row], kind="stable").tolist()
        shown = dict.fromkeys([*order[:top], int(labels[row])])
        return tuple((classes[k], float(probabilities[row, k])) for k in shown)

    return [
        Picture(
            image,
            id_,
            classes[labels[row]],
            classes[predicted[row]],
            float(probabilities[row, predicted[row]]),
            float(probabilities[row, labels[row]]),
            most_probable(row),
            None if predictions.paths is None else predictions.paths[row],
        )
        for image, id_ in zip(images, ids.tolist(), strict=True)
        if (row := rows.get(id_)) is not None
    ]


def _curves(lines: list[EvaluationRecord]) -> Curves:
    def curve(name: str, key: Measured) -> Curve:
        measured = [line for line in lines if key in line]
        return Curve(name, [line["epoch"] for line in measured], [line[key] for line in measured])

    return Curves(
        loss=[curve("train", "train_loss"), curve("val", "val_loss")],
        accuracy=[curve("train", "train_accuracy"), curve("val", "val_accuracy")],
        learning_rate=[curve("learning rate", "lr")],
    )


def _caveats(
    run: Run, card: Card | None, cut: SplitRecord | None, scored: list[Scored], looks: list[Look]
) -> list[str]:
    state = standing(run)
    sentences = [f"This run {state}."] if state else []
    if "imported" in run.env:
        sentences.append(f"The weights were imported from {run.env['imported']}, not trained here.")
    if begun := run.env.get("continued"):
        seen = f", whose test score had been looked at {times(begun['looks'])}" if begun["looks"] else ""
        sentences.append(
            f"It goes on from step {begun['step']:,} of {begun['run']}{seen}. "
            "To train it again takes that run, too, not its recipe alone."
        )
    if cut and "seen_before" in run.env:
        seen = said(run.env["seen_before"], cut["sizes"])
        sentences.append(
            f"What it learned from was trained on {seen} that it is scored on: the figures may be too good."
        )
    sentences += of_plan(cut)
    if scored and scored[0].split != "test":
        sentences.append(
            "The test split has not been scored: the figures are val's. "
            + (
                f"'thirtytwo study close {study.path}' scores it, for all runs of the study."
                if (study := StudyFolder.withholding(run.path))
                else "'thirtytwo test RUN' scores it, and records the look."
            )
        )
    if run.recipe.train.patience is not None:
        sentences.append("Val decided when to stop, so its own figures are a little too good; test's are not.")
    if card and "solved" in card:
        sentences.append(
            "The head's strength was chosen on val, so val's own figures are a little too good; test's are not."
        )
    if len(looks) > 1:
        sentences.append(
            f"The test split was looked at {times(len(looks))}. If anything was changed between two looks, its score "
            "is too good."
        )
    return sentences


def of_plan(cut: SplitRecord | None) -> list[str]:
    """Caveats about figures because of the plan that split.json names."""
    return [CUT_FROM_TEST] if cut and cut["plan"] == "val-from-test" else []


def standing(run: Run) -> str:
    """The state of an unfinished run, as the rest of a sentence; empty for a finished one."""
    status = run.status
    state, step, steps = status.get("state"), status.get("step", 0), status.get("steps", 0)
    if state == "finished":
        return ""
    at, partial = f"at step {step:,} of {steps:,}", "what is shown is not its final result"
    if state == "failed":
        message = f" ({status['message']})" if status.get("message") else ""
        return f"failed {at}{message}: {partial}"
    if state == "trained":
        return "was trained to its end, but not all of it is scored; `thirtytwo train --resume RUN` scores it"
    if not steps:
        return "has not begun to train"
    if state == "running" and run.busy:
        return f"is still training, {at}: {partial}"
    verb = "interrupted" if state == "interrupted" else "stopped"
    return f"was {verb} {at}; `thirtytwo train --resume RUN` continues: {partial}"


def _command(run: Run) -> str:
    """What trains its recipe.toml again from any directory; empty where no command can.

    Weights may come from elsewhere, or from another run's training; networks and data may have been objects in a
    Python program.
    """
    recipe, env = run.recipe, run.env
    model = Spec.parse(recipe.model)
    if env.keys() & {"imported", "continued"} or OWN in (model.prefix, Spec(recipe.data.source).prefix):
        return ""
    where = {"data.source": env.get("source", recipe.data.source)}
    if "teacher" in env:
        where["train.teacher"] = RUN + env["teacher"]
    began = env.get("weights", "")
    if model.run and began:
        where["model"] = RUN + began
    elif began and Path(str(model.kwargs.get("weights", ""))).name == Path(began).name:
        where["model"] = str(replace(model, kwargs={**model.kwargs, "weights": began}))
    values = {key: value for key, value in where.items() if recipe.override({key: value}) != recipe}
    return as_command("train recipe.toml", values, env.get("imports", ()))


def as_command(what: str, values: Mapping[str, str], imports: Sequence[str]) -> str:
    """``thirtytwo`` with what it does, the keys to set and the user's files, as a shell takes it."""
    files = [word for file in imports for word in ("--import", file)]
    return shlex.join(["thirtytwo", *what.split(), *(f"{key}={value}" for key, value in values.items()), *files])
