"""Find and load what a recipe or a run names: components, data, a teacher, a trained model."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from thirtytwo.augment import augmentations
from thirtytwo.data.imageset import ImageSet
from thirtytwo.data.load import load
from thirtytwo.data.split import SPLITS, Splits, make_splits
from thirtytwo.device import Device
from thirtytwo.errors import UnknownName, UserError
from thirtytwo.models import models
from thirtytwo.models.classifier import Classifier
from thirtytwo.optim import averages, optimizers, schedules
from thirtytwo.recipe import Recipe
from thirtytwo.records import SplitRecord
from thirtytwo.runs import reuse  # noqa: F401  (makes models called run:PATH known)
from thirtytwo.runs.card import classifier_for, ready
from thirtytwo.runs.checkpoint import require_like, unpack
from thirtytwo.runs.run import Run
from thirtytwo.spec import Spec, parse_chain


def check(recipe: Recipe) -> None:
    """Check all components, and the teacher, before any data is loaded. Raises UserError for the first mistake."""
    for spec in parse_chain(recipe.augment):
        augmentations.check(spec)
    schedules.build(recipe.schedule)
    for registry, text in ((models, recipe.model), (averages, recipe.average), (optimizers, recipe.optim.name)):
        registry.check(text)
    find_teacher(recipe)


def find_teacher(recipe: Recipe) -> Run | None:
    """The run that the recipe learns from, if any. Raises UserError when it does not exist or is not trained."""
    path = Spec.parse(recipe.train.teacher).run
    if path is None:
        return None
    try:
        run = Run.open(path)
        run.require_trained()
    except UserError as error:
        raise UserError(f"train.teacher={recipe.train.teacher}: {error}") from None
    return run


def load_splits(recipe: Recipe, *, source: str | None = None, record: SplitRecord | None = None) -> Splits:
    """The recipe's data, decoded and cut.

    Args:
        recipe: which data.
        source: where a run found it before; used if that still exists.
        record: of the run that was cut before, if it is to be cut again.
    """
    data = recipe.data
    where = source if source is not None and Path(source).exists() else data.source
    official = load(
        where, size=data.size, channels=data.channels, fit=data.fit, bad_images=data.bad_images,
        image_column=data.image_column, label_column=data.label_column,
    )  # fmt: skip
    kept = _kept(data.keep_split) if record is None else record.get("kept")
    return make_splits(
        official, plan=data.plan, val=data.val, test=data.test, split_seed=data.split_seed, limit=data.limit,
        version=data.split_version, kept=kept,
    )  # fmt: skip


def _kept(keep_split: str) -> Mapping[str, str] | None:
    """What the images of an earlier run's splits are; None for "none". Raises UserError when that is not known."""
    if keep_split == "none":
        return None
    try:
        run = Run.open(keep_split)
        if (cut := run.split) and "content" in cut:
            return cut["content"]
        splits = _cut_again(run)
        for split in SPLITS:
            require_same_split(run, splits, split)
        return splits.record["content"]
    except UserError as error:
        raise UserError(f"data.keep_split={keep_split}: {error}") from None


def images_of(run: Run, split: str) -> ImageSet:
    """The images of a run's split, loaded again. Raises UserError when they have changed."""
    splits = _cut_again(run)
    require_same_split(run, splits, split)
    images: ImageSet = getattr(splits, split)
    return images


def _cut_again(run: Run) -> Splits:
    with own_components(run):
        return load_splits(run.recipe, source=run.env.get("source"), record=run.split)


def require_same_split(run: Run, splits: Splits, split: str) -> None:
    """Raise UserError when the images of ``split`` are not those that the run was made with."""
    cut = run.split
    if cut is None:
        raise UserError(f"{run.path}/split.json: missing, so it is not known which images the run has: restore it")
    then, now = cut["sha256"][split], splits.record["sha256"][split]
    if then != now:
        raise UserError(
            f"{run.path}: the {split} images of '{run.recipe.data.source}' are not those that this run was made with "
            f"(sha256 {now[:12]}, not {then[:12]}): restore the data, or train again"
        )


def load_classifier(run: Run, device: Device) -> Classifier:
    """A trained run's model, ready to score. UserError when its weights are missing, damaged or of another shape."""
    tensors = unpack(run.read_weights(), run.weights)
    card = run.require_trained()
    with own_components(run):
        model = classifier_for(card)
    try:
        require_like(tensors, dict(model.state_dict()))
    except ValueError as error:
        raise UserError(f"{run.weights}: does not fit the model {card['model']} ({error}): restore it") from None
    model.load_state_dict(tensors)
    return ready(model, device)


@contextmanager
def own_components(run: Run) -> Iterator[None]:
    """Within this context the error for an unknown component names the files that the run was trained with."""
    try:
        yield
    except UnknownName as error:
        files = " ".join(f"--import {file}" for file in run.env.get("imports", ()))
        if files:
            raise UserError(f"{error} ({run.path} was trained with {files}: pass it again)") from None
        raise
