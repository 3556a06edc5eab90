"""Find and load what a recipe or a run names: components, data, a teacher, a trained model."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch

from thirtytwo.augment import augmentations
from thirtytwo.data.imageset import ImageSet, Official
from thirtytwo.data.layout import SPLITS, listed
from thirtytwo.data.load import is_name, load
from thirtytwo.data.picture import BadPicture, Unreadable
from thirtytwo.data.split import Splits, find_again, make_splits
from thirtytwo.device import Device
from thirtytwo.errors import UnknownName, UserError
from thirtytwo.models import models
from thirtytwo.models.classifier import Classifier
from thirtytwo.optim import averages, optimizers, schedules
from thirtytwo.paths import as_path
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


def load_splits(recipe: Recipe) -> Splits:
    """The recipe's data, decoded and cut."""
    return _cut(recipe, _official(recipe), _kept(recipe.data.keep_split))


def _official(recipe: Recipe) -> Official:
    data = recipe.data
    return load(
        data.source, size=data.size, channels=data.channels, fit=data.fit, bad_images=data.bad_images,
        image_column=data.image_column, label_column=data.label_column, by_bytes=data.split_version == 2,
    )  # fmt: skip


def _readable(recipe: Recipe) -> tuple[Official, BadPicture | None]:
    """The recipe's data without pictures that cannot be read, one of which is named.

    An earlier run's own could be: its hashes say so if one of them is not there. What was added since is not its own.
    """
    try:
        return _official(recipe), None
    except Unreadable as error:
        return _official(recipe.override({"data.bad_images": "skip"})), error.first


def _cut(recipe: Recipe, official: Official, kept: Mapping[str, str] | None) -> Splits:
    data = recipe.data
    return make_splits(
        official, plan=data.plan, val=data.val, test=data.test, split_seed=data.split_seed, limit=data.limit,
        version=data.split_version, kept=kept,
    )  # fmt: skip


def _require_as_many_classes(run: Run, source: str, now: Sequence[str], then: Sequence[str]) -> None:
    """Raise UserError unless there are as many classes, under any names: hashes say whether the images are the same."""
    if len(now) == len(then):
        return
    changes = {"new": [name for name in now if name not in then], "gone": [name for name in then if name not in now]}
    said = ", ".join(f"{what}: {listed(names)}" for what, names in changes.items() if names)
    raise UserError(
        f"{run.path}: the classes of '{source}' are not those that this run was made with ({said}): restore them, "
        f"say where they are ({_SAY_WHERE}), or train again"
    )


def _kept(keep_split: str) -> Mapping[str, str] | None:
    """What the images of an earlier run's splits are; None for "none". Raises UserError when that is not known."""
    if keep_split == "none":
        return None
    try:
        run = Run.open(keep_split)
        if (cut := run.split) and "content" in cut:
            return cut["content"]
        return load_again(run).record["content"]
    except UserError as error:
        raise UserError(f"data.keep_split={keep_split}: {error}") from None


def load_again(run: Run, data: str | None = None, *, need: Sequence[str] = SPLITS) -> Splits:
    """The images of a run: from ``data`` if that is given, else from where they were when it began.

    Wherever they come from, the hashes of the splits that are in ``need`` decide whether they are the same images.
    Raises UserError when they are gone, or have changed.
    """
    if data is not None and not is_name(data) and not as_path(data).exists():
        raise UserError(f"{data}: no such file or folder, so the images of {run.path} cannot be there")
    cut, source = run.split, data or _place(run)
    if cut is None:
        raise UserError(f"{run.path}/split.json: missing, so it is not known which images the run has: restore it")
    recipe = run.recipe.override({"data.source": source})
    with own_components(run):
        official, broken = _readable(recipe)
        splits = find_again(official, cut, need)
        lacking = splits is None or _changed(splits, cut, need)
        if lacking and (same := _as_they_were(cut, official)):  # what was added may have changed how these are read
            official, broken = _readable(recipe.override(same))
            splits = find_again(official, cut, need)
    if splits is None or _changed(splits, cut, need):
        _require_as_many_classes(run, source, official.train.classes, cut["classes"])
        splits = _cut(recipe, official, cut.get("kept"))
    for split in _changed(splits, cut, need):
        then, now = cut["sha256"][split], splits.record["sha256"][split]
        which = f"sha256 {now[:12]}, not {then[:12]}" if broken is None else broken
        raise UserError(
            f"{run.path}: the {split} images of '{source}' are not those that this run was made with ({which}): "
            f"restore them, say where they are ({_SAY_WHERE}), or train again"
        )
    return _as_recorded(splits, cut, need)


def _as_recorded(splits: Splits, cut: SplitRecord, need: Sequence[str]) -> Splits:
    """The same images under the numbers and the classes that they had, whatever these are where they are now."""

    def named(split: str, images: ImageSet) -> ImageSet:
        ids = torch.tensor(cut["ids"][split], dtype=torch.int64)
        return replace(images, ids=ids, classes=tuple(cut["classes"])) if split in need else images

    return replace(
        splits, train=named("train", splits.train), val=named("val", splits.val), test=named("test", splits.test)
    )


def _as_they_were(cut: SplitRecord, official: Official) -> dict[str, int]:
    """The settings that give square images the size and the channels that they had; none where they have them."""
    channels, height, width = cut.get("shape", [*official.train.images.shape[1:]])
    if (channels, height, width) == tuple(official.train.images.shape[1:]) or height != width:
        return {}
    return {"data.size": height, "data.channels": channels}


def _changed(splits: Splits, cut: SplitRecord, need: Sequence[str]) -> list[str]:
    return [split for split in need if splits.record["sha256"][split] != cut["sha256"][split]]


def images_of(run: Run, split: str, data: str | None = None) -> ImageSet:
    """The images of one of a run's splits, as `load_again` finds them."""
    images: ImageSet = getattr(load_again(run, data, need=[split]), split)
    return images


def place(source: str | None) -> dict[str, str]:
    """Where the files of a source are, as env.json has it; nothing for None and for one that is found by its name."""
    if source is None or is_name(source) or not as_path(source).exists():
        return {}
    return {"source": str(as_path(source).resolve())}


def _place(run: Run) -> str:
    """Where a run's images were when it began, or, if they are not there any more, where its recipe says."""
    named, then = run.recipe.data.source, run.env.get("source")
    if then is None or (not as_path(then).exists() and as_path(named).exists()):
        return named
    if not as_path(then).exists():
        raise UserError(
            f"{run.path}: its images were in {then}, which is gone: say where they are now ({_SAY_WHERE}; "
            f"`thirtytwo train --resume {run.path} --data NEW` remembers it)"
        )
    return then


_SAY_WHERE = "--data NEW, or data= from Python"


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
        raise UserError(f"{run.path}: {error}") from None
