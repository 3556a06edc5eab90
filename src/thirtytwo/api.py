"""What the command line and a notebook both call: train, import, open, test, predict, export, report."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from thirtytwo import recipes, studies
from thirtytwo.data import picture
from thirtytwo.data.imageset import ImageSet
from thirtytwo.device import Device
from thirtytwo.display import Display, StudyDisplay, output
from thirtytwo.errors import UserError
from thirtytwo.evaluation import metrics
from thirtytwo.evaluation.compare import Compared
from thirtytwo.evaluation.estimate import Estimate, titled
from thirtytwo.evaluation.predict import logits
from thirtytwo.explain.layers import explain
from thirtytwo.models.classifier import Classifier
from thirtytwo.paths import NUMBERED
from thirtytwo.range_test import STEPS, RangeTest, ladder, range_test
from thirtytwo.recipe import Recipe, resolve_key
from thirtytwo.report.explained import Explained
from thirtytwo.report.html import write as write_report
from thirtytwo.report.study import table as study_table
from thirtytwo.report.study import view as view_study
from thirtytwo.report.study import write as write_study_report
from thirtytwo.report.view import explained
from thirtytwo.runs.export import export
from thirtytwo.runs.imported import Channels, import_weights, recipe_beside
from thirtytwo.runs.loading import images_of, load_classifier
from thirtytwo.runs.run import Run
from thirtytwo.runs.score import score_test
from thirtytwo.runs.scored import stored_scores
from thirtytwo.study.closing import close
from thirtytwo.study.definition import Study
from thirtytwo.study.folder import StudyFolder
from thirtytwo.study.workers import begin, train_all
from thirtytwo.training.session import Session, prepare

Picture = str | Path | np.ndarray | Tensor | Image.Image

EXPLAINED = 60
"""Pictures that are explained at a time: they share one figure."""


@dataclass(frozen=True)
class Answer:
    """What a model says about one picture: classes with their probabilities, most probable first."""

    name: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.classes[0]} ({self.probabilities[0]:.1%})"

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<td>{escape(label)} {share:.1%}</td>"
            for label, share in zip(self.classes, self.probabilities, strict=True)
        )
        return f"<table><tr><th>{escape(self.name)}</th>{cells}</tr></table>"


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A picture as the network takes it, uint8 (C, H, W), with its class where that is known."""

    name: str
    image: Tensor
    truth: str | None


class TrainedRun:
    """A run that has been trained: score it on test, predict with it, report on it."""

    def __init__(self, run: Run, device: Device) -> None:
        self.run = run
        self.device = device
        self._images: dict[str, ImageSet] = {}

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.run.path

    @cached_property
    def model(self) -> Classifier:
        """The trained network, in evaluation mode: float images (B, C, H, W) in 0..1 -> logits (B, K)."""
        return load_classifier(self.run, self.device)

    @cached_property
    def card(self) -> dict[str, Any]:
        """What the weights need to be used: classes, size, channels. Raises UserError while there are no weights."""
        self.run.read_weights()
        return self.run.card

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in label order."""
        return tuple(self.card["classes"])

    def scores(self, split: str = "test") -> dict[str, Estimate]:
        """The stored scores of a split without test-time augmentation, each with its interval; empty if not scored."""
        return next((each.scores for each in stored_scores(self.run) if (each.split, each.views) == (split, 1)), {})

    def test(self) -> dict[str, Estimate]:
        """Score the test split once more. It is a look, and is written down.

        Raises UserError for a run of a study that is still open.
        """
        if study := StudyFolder.withholding(self.run.path):
            raise UserError(
                f"{self.path}: belongs to a study, whose runs are scored on test together and once: "
                f"`thirtytwo study close {study.path}`"
            )
        score_test(self.run, self.model, self.device, by="test")
        return self.scores("test")

    def predict(self, pictures: Picture | Iterable[Picture], top: int = 3) -> list[Answer]:
        """Classify pictures: paths, PIL images, uint8 arrays (H, W) or (H, W, C), uint8 tensors (H, W) or (C, H, W).

        One of them, several, or a batch of arrays (N, H, W, C) or tensors (N, C, H, W). Each is
        brought to the training's size and channels in the way the training did it. ``"val:12"`` and ``"train:3"`` are
        images of the run's own data, by their numbers in the official split that they were cut from, as reports call
        them; ``"test:5"`` is one that the report shows.
        """
        return self._answer(self._prepare_all(pictures), top)

    def explain(self, pictures: Picture | Iterable[Picture] | None = None, top: int = 3) -> Explained:
        """Show how the network comes to its answers: filters, feature maps layer by layer, class probabilities.

        ``pictures`` as in `predict`, at most `EXPLAINED`; None takes the picture of val that the run keeps for this.
        """
        if pictures is None:
            _ = self.card  # raises while there are no weights
            kept = explained(self.run, top)
            if kept is None:
                raise UserError(f"{self.path}: keeps no picture to explain: name one, `explain {self.path} PICTURE`")
            shown, explanation = kept
            return Explained([f"val-{shown.id}"], [shown.top], [shown.truth], [explanation])
        chosen = self._prepare_all(pictures)
        if not 1 <= len(chosen) <= EXPLAINED:
            raise UserError(f"{len(chosen)} pictures to explain: name between 1 and {EXPLAINED} at a time")
        said = [list(zip(each.classes, each.probabilities, strict=True)) for each in self._answer(chosen, top)]
        explanations = [explain(self.model, each.image) for each in chosen]
        return Explained([each.name for each in chosen], said, [each.truth for each in chosen], explanations)

    def _prepare_all(self, pictures: Picture | Iterable[Picture]) -> list["_Prepared"]:
        if isinstance(pictures, str | Path | Image.Image) or (
            isinstance(pictures, np.ndarray | Tensor) and pictures.ndim != 4
        ):
            pictures = [pictures]
        return [self._prepare(each, f"picture {i + 1}") for i, each in enumerate(pictures)]

    def _answer(self, pictures: list["_Prepared"], top: int) -> list[Answer]:
        if not pictures:
            return []
        images = torch.stack([each.image for each in pictures])
        scores, averaged = logits(self.model, images, self.device, views=self.run.recipe.evaluate.views)
        probabilities, order = (averaged if averaged is not None else scores).double().softmax(1).sort(descending=True)
        return [
            Answer(each.name, tuple(self.classes[k] for k in ks[:top]), tuple(ps[:top]))
            for each, ks, ps in zip(pictures, order.tolist(), probabilities.tolist(), strict=True)
        ]

    def report(self) -> Path:
        """Write report.html and figures/ anew from what the run left behind."""
        return write_report(self.run)

    def export(self, file: str | Path) -> Path:
        """Write the network's state dict as ``.pth`` or ``.safetensors``, and beside it, as JSON, what it needs."""
        export(self.run, Path(file))
        return Path(file)

    def __repr__(self) -> str:
        return f"TrainedRun({str(self.path)!r})"

    def _repr_html_(self) -> str:
        found = [
            (each.name, *metrics.described(name), score)
            for each in stored_scores(self.run)
            for name, score in each.scores.items()
        ]
        rows = "".join(
            f"<tr><th>{escape(scored)}</th><td>{escape(titled(title, unit))}</td><td>{score.number(unit)}</td>"
            f"<td>{score.interval(unit)}</td></tr>"
            for scored, title, unit, _, score in found
        )
        return f"<table><caption>{escape(self.run.name)}</caption>{rows}</table>"

    def _prepare(self, source: Picture, unnamed: str) -> "_Prepared":
        wanted = {"size": tuple(self.card["size"]), "channels": self.card["channels"], "fit": self.card["fit"]}
        if not isinstance(source, str | Path):
            return _Prepared(unnamed, picture.decode(_as_png(source, unnamed), name=unnamed, **wanted), None)
        if (own := NUMBERED.fullmatch(str(source))) and not Path(source).exists():
            return self._own_image(own["split"], int(own["number"]))
        return _Prepared(str(source), picture.decode(Path(source), **wanted), None)

    def _own_image(self, split: str, number: int) -> "_Prepared":
        """An image of the run's data; of test, one that the run keeps for its report.

        Raises UserError when the split has none of that number, or has changed.
        """
        if split == "test":
            kept, scored = self.run.pictures("test"), self.run.predictions("test")
            if kept is None or scored is None or number not in kept[1]:
                raise UserError(f"test:{number}: {self.path} shows no such image of test: name one of its report")
            image, label = kept[0][kept[1] == number][0], scored[0].labels[scored[0].ids == number][0]
            return self._shown(f"test-{number}", torch.from_numpy(image), self.classes[label])
        if split not in self._images:
            self._images[split] = images_of(self.run, split)
        images = self._images[split]
        places = (images.ids == number).nonzero()
        if not len(places):
            some = ", ".join(map(str, images.ids[:3].tolist()))
            raise UserError(f"{split}:{number}: {self.path} has no such image in {split} (but {some} ...)")
        place = int(places[0])
        return self._shown(f"{split}-{number}", images.images[place], images.classes[int(images.labels[place])])

    def _shown(self, name: str, image: Tensor, truth: str) -> "_Prepared":
        """An image of the data: a network that was trained on RGB takes a grey one as three equal channels."""
        return _Prepared(name, image.expand(self.card["channels"], -1, -1), truth)


def _as_png(source: np.ndarray | Tensor | Image.Image, name: str) -> bytes:
    """A picture in memory as a file's bytes, so that it goes the way of every other picture."""
    if isinstance(source, Tensor):
        source = (source.permute(1, 2, 0) if source.ndim == 3 else source).cpu().numpy()
    if isinstance(source, np.ndarray):
        if 0 in source.shape:
            raise UserError(f"{name}: has no pixels, its shape is {source.shape}")
        if source.dtype != np.uint8:
            raise UserError(f"{name}: pixels must be uint8 in 0..255, not {source.dtype}")
        if source.ndim not in (2, 3) or (source.ndim == 3 and source.shape[2] not in (1, 3, 4)):
            raise UserError(f"{name}: {source.shape} is no picture's shape: expected (H, W) or (H, W, 3)")
        source = Image.fromarray(source[..., 0] if source.ndim == 3 and source.shape[2] == 1 else source)
    buffer = io.BytesIO()
    (source if source.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16") else source.convert("RGB")).save(
        buffer, "PNG"
    )
    return buffer.getvalue()


def train(
    recipe: str | Recipe = "digits-cnn",
    *,
    out: str | Path = "runs",
    device: str = "auto",
    test: bool = True,
    progress: bool = True,
    **overrides: Any,
) -> TrainedRun:
    """Train a recipe and score it: a name, a TOML file, an earlier run's folder, or a Recipe.

    Args:
        recipe: what to train.
        out: where the run folder is made.
        device: "auto", "cpu", "cuda" or another torch device.
        test: whether to score the test split after the last step.
        progress: whether to show how it goes, on a terminal or in a notebook. A script's output stays its own.
        overrides: recipe keys, ``epochs=3``; a dot is written as two underscores, ``data__source="mnist"``.

    Raises UserError for a user's mistake, Interrupted when asked to stop.
    """
    found = _overridden(_found(recipe), overrides)
    session = Session.new(found, out=Path(out), device=device, test=test)
    with Display(found.train.epochs, silent=not (progress and (output.is_terminal or output.is_jupyter))) as display:
        session.complete(listeners=[display])
    return TrainedRun(session.run, session.device)


def find_lr(
    recipe: str | Recipe = "digits-cnn",
    *,
    low: float | None = None,
    high: float | None = None,
    steps: int = STEPS,
    device: str = "auto",
    progress: bool = True,
    **overrides: Any,
) -> RangeTest:
    """Look for a learning rate: train a few steps at a rate that grows from ``low`` to ``high``. Nothing is kept.

    ``recipe``, ``device``, ``progress`` and ``overrides`` as in `train`; the bounds as in `range_test.ladder`. In a
    notebook the result shows its figure; ``train(found.recipe.override(found.overrides))`` trains as it suggests.
    """
    found = _overridden(_found(recipe), overrides)
    rates = ladder(found, low, high, steps)
    parts = prepare(found, device)
    silent = not (progress and (output.is_terminal or output.is_jupyter))
    with Display(parts.feed.epoch(steps), silent=silent) as display:
        return range_test(parts, rates, listener=display)


def import_run(
    file: str | Path,
    recipe: str | Recipe | None = None,
    *,
    mean: Channels = (),
    std: Channels = (),
    out: str | Path = "runs",
    device: str = "auto",
    test: bool = False,
    **overrides: Any,
) -> TrainedRun:
    """Make a run of a state dict that was trained elsewhere, and score it on val: see `imported.import_weights`.

    ``recipe`` says which network and which data the weights are for, as in `train`; None takes the one that `export`
    left beside the file. ``overrides`` are its keys.
    """
    path = Path(file)
    found = _overridden(recipe_beside(path) if recipe is None else _found(recipe), overrides)
    run = import_weights(path, found, mean=mean, std=std, out=Path(out), device=device, test=test)
    return open_run(run.path, device=device)


def open_run(path: str | Path, *, device: str = "auto") -> TrainedRun:
    """A run, to predict with or to report on. UserError when it is none; predicting needs one that is trained."""
    run = Run.open(path)
    return TrainedRun(run, Device.choose(device, run.env.get("precision", "auto")))


def _found(recipe: str | Recipe) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else recipes.find(recipe)


def _overridden(recipe: Recipe, overrides: dict[str, Any]) -> Recipe:
    """Overrides as Python spells them: ``data__source`` for ``data.source``."""
    return recipe.override({resolve_key(key.replace("__", ".")): value for key, value in overrides.items()})


class StudyResult:
    """A study's folder: what its arms reached so far, and how they compare."""

    def __init__(self, folder: StudyFolder) -> None:
        self.folder = folder

    @property
    def path(self) -> Path:
        """The study's folder."""
        return self.folder.path

    def table(self, score: str = "accuracy") -> list[Compared]:
        """The arms beside each other by ``score``: on val while the study is open, on test once it is closed."""
        return self.folder.compared(self.folder.split(), score)

    def run(self, arm: str, seed: int) -> TrainedRun:
        """One run of it. Raises UserError when it has not begun."""
        return open_run(self.folder.run_path(arm, seed))

    def close(self) -> list[Compared]:
        """Score test for every run, once and for all; the table on test."""
        close(self.folder, watch=lambda name: None)
        return self.table()

    def report(self) -> Path:
        """Write report.html, results.csv and figures/ anew from what the runs left behind."""
        return write_study_report(self.folder, view_study(self.folder))

    def __repr__(self) -> str:
        return f"StudyResult({str(self.path)!r})"

    def _repr_html_(self) -> str:
        return study_table(self.folder)


def run_study(
    name: str | Study,
    *,
    out: str | Path = "studies",
    seeds: int | None = None,
    jobs: int | None = None,
    device: str = "auto",
    progress: bool = True,
    **overrides: Any,
) -> StudyResult:
    """Train every arm of a study with every seed: a name, a TOML file, or a Study. Begun before, it goes on.

    Args:
        name: what to train.
        out: where the study's folder is made.
        seeds: train with the seeds 0, 1, ... so many, instead of the study's own.
        jobs: runs side by side; by default one a core.
        device: where a new study's runs are trained, as in `train`.
        progress: whether to show how it goes, on a terminal or in a notebook.
        overrides: recipe keys for all arms, as in `train`.

    Raises UserError for a user's mistake, and after the last run when some of them failed.
    """
    wanted = name if isinstance(name, Study) else studies.find(name)
    wanted = wanted.override({key.replace("__", "."): value for key, value in overrides.items()})
    if seeds is not None:
        wanted = wanted.with_seeds(seeds)
    folder = begin(wanted, Path(out), jobs=jobs, device=device)
    silent = not (progress and (output.is_terminal or output.is_jupyter))
    with folder.owned(), StudyDisplay(wanted.name, silent=silent) as watch:
        failed = train_all(folder, jobs, watch)
    if failed:
        raise UserError(f"{folder.path}: {'; '.join(f'{run}: {message}' for run, message in failed.items())}")
    return StudyResult(folder)


def open_study(path: str | Path) -> StudyResult:
    """A study's folder, open or closed, to look at its table and its runs. UserError when it is none."""
    return StudyResult(StudyFolder.open(path))
