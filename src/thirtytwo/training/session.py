"""A run that this process works on: started, resumed, trained to the end and scored."""

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from thirtytwo.augment import Chain
from thirtytwo.data.split import Splits
from thirtytwo.device import Device
from thirtytwo.errors import UserError
from thirtytwo.interrupt import Interrupted
from thirtytwo.models.adapt import starvation
from thirtytwo.models.pretrained import is_file
from thirtytwo.paths import as_path
from thirtytwo.recipe import Recipe
from thirtytwo.runs.lineage import learned_from, require_same_weights, write_origins
from thirtytwo.runs.loading import check, find_teacher, load_again, load_classifier, load_splits, own_components, place
from thirtytwo.runs.run import Run
from thirtytwo.runs.score import score, train_accuracy
from thirtytwo.spec import RUN, Spec
from thirtytwo.tracking.audience import Audience, Guarded
from thirtytwo.tracking.events import Listener
from thirtytwo.tracking.metrics_file import MetricsFile
from thirtytwo.training.build import Parts, build, try_out, with_features
from thirtytwo.training.checkpointing import restore_model
from thirtytwo.training.continuing import HandedOver, recipe_of, require_begun
from thirtytwo.training.loop import CHECKPOINT_EVERY, train
from thirtytwo.training.preview import preview
from thirtytwo.training.probe import solve
from thirtytwo.version import __version__

log = logging.getLogger("thirtytwo")


Loaded = Callable[[Splits], object]
"""Hears of the data as soon as they are there, which may be seconds before all else is ready."""


@dataclass(eq=False)
class Session:
    """A run folder that this process owns, with the parts to train it."""

    run: Run
    parts: Parts

    @property
    def device(self) -> Device:
        """The device that it computes on."""
        return self.parts.device

    @classmethod
    def new(
        cls,
        recipe: Recipe,
        *,
        out: Path,
        name: str | None = None,
        device: str = "auto",
        test: bool = True,
        imports: Sequence[Path] = (),
        loaded: Loaded | None = None,
    ) -> "Session":
        """Check the recipe, load its data, build and try its parts, then make the folder: mistakes leave no trace.

        The folder is ``out/<name>``, or numbered without a ``name``. ``test`` says whether the test split is scored at
        the end. ``imports`` are the user's files that registered components, which the run names if they are missing
        later. ``loaded`` is told of the data.
        """
        parts = prepare(recipe, device, loaded)
        learned = learned_from(recipe, parts.model.described.origin, parts.teacher, parts.splits.record)
        found = place(recipe.data.source)
        with _made(out, recipe, name) as run:
            run.set_status("created", test=test)
            write_origins(run, parts.splits.record, parts.device.describe(), imports, **found, **learned)
        return cls(run, parts)

    @classmethod
    def resume(
        cls,
        path: Path,
        *,
        device: str = "auto",
        data: str | None = None,
        loaded: Loaded | None = None,
    ) -> "Session":
        """Resume a run from its newest valid checkpoint, with the precision and threads that it began with.

        ``data`` is where its images are now, if they were moved, which the run remembers; ``loaded`` is as in `new`.
        Raises UserError if it is owned by another process, was imported, its images, its teacher or the weights that it
        started from have changed, or no checkpoint is valid.
        """
        run = Run.open(path)
        require_begun(run)
        run.lock()
        try:
            recipe = _untaught(run) if run.card else run.recipe
            session = cls(run, _rebuilt(run, recipe, device, data, loaded))
            if data is not None:
                run.write_env({**run.env, **place(data)})
            return session
        except BaseException:
            run.unlock()
            raise

    @classmethod
    def go_on(
        cls,
        path: Path,
        changes: Mapping[str, Any],
        *,
        out: Path,
        device: str = "auto",
        test: bool = True,
        data: str | None = None,
        loaded: Loaded | None = None,
    ) -> "Session":
        """A new run that goes on where the one at ``path`` ended: its weights, optimizer, average and splits.

        Args:
            path: the old run's folder, which stays as it is.
            changes: of its recipe, by full key: ``train.epochs``, the new total, and others in `CHANGEABLE`. The
                schedule is that of the new recipe, from the step at which the old training ended.
            out: where the folder is made.
            device: as in `new`.
            test: as in `new`; what was withheld from the old run stays withheld.
            data: as in `resume`.
            loaded: as in `new`.

        Raises UserError, and leaves nothing, for what `resume` does, and when there is no step left to train.
        """
        old = Run.open(path)
        require_begun(old)
        recipe = recipe_of(old, changes)
        with old.owned():
            parts = _rebuilt(old, recipe, device, data, loaded)
            try_out(parts)
            handed = HandedOver.of(old, parts)
            env = {**old.env, **parts.device.describe(), "thirtytwo": __version__, **place(data)}
            with _made(out, recipe) as run:
                run.set_status("created", test=test and old.status.get("test", True))
                run.write_split(parts.splits.record)
                run.write_env({**env, "continued": handed.record})
                handed.put(run)
        return cls(run, parts)

    def complete(
        self,
        *,
        listeners: Sequence[Listener] = (),
        trackers: Sequence[Listener] = (),
        checkpoint_every: float = CHECKPOINT_EVERY,
    ) -> None:
        """Train to the end, score val and, unless it was withheld, test; the folder is released whatever happens.

        A run that is finished stays as it is: scoring it again would be another look at test.

        Args:
            listeners: who is told about the training, besides its metrics.jsonl.
            trackers: likewise; one that fails is dropped with a warning.
            checkpoint_every: seconds between two checkpoints.
        """
        audience = Audience([MetricsFile(self.run), *listeners, *map(Guarded, trackers)])
        gpus = [self.device.torch] if self.device.torch.type == "cuda" else []
        with torch.random.fork_rng(devices=gpus), self.run.owned():
            if self.run.status["state"] == "finished":
                return
            try:
                if not self.run.card:
                    self._train(audience, checkpoint_every)
                model, images = load_classifier(self.run, self.device), self.parts.splits
                score(self.run, model, images.val, self.device, "val", by="train")
                if self.run.status.get("test", True):
                    score(self.run, model, images.test, self.device, "test", by="train")
                share, count = train_accuracy(model, images.train, self.device, len(images.val), self.run.recipe.seed)
                self.run.set_status("finished", train_accuracy=share, train_images=count)
            finally:
                audience.ended(self.run)

    def _train(self, listener: Listener, checkpoint_every: float) -> None:
        try:
            recipe, train_set = self.run.recipe, self.parts.splits.train
            stepwise = recipe.train.solver == "steps"
            self.run.set_status("running", **({} if stepwise else {"step": 0, "steps": 1}))
            augment = Chain() if recipe.train.solver == "knn" else self.parts.augment
            self.run.write_training_pictures(*preview(train_set, augment, recipe.seed))
            if self.parts.probed is not None:
                restore_model(self.run, self.parts)  # the trunk that computes the features
            parts = with_features(self.parts)
            if stepwise:
                train(parts, self.run, listener=listener, checkpoint_every=checkpoint_every)
            else:
                solve(parts, self.run, listener=listener)
        except Interrupted:
            raise
        except Exception as error:
            with suppress(UserError):  # a full disk cannot store the status either
                self.run.set_status("failed", message=str(error).partition("\n")[0])
            raise


@contextmanager
def _made(out: Path, recipe: Recipe, name: str | None = None) -> Iterator[Run]:
    """A new run folder that this process owns; it is removed again if what is first written into it fails."""
    run = Run.create(out, recipe, name)
    try:
        run.lock()
        yield run
    except BaseException:  # including Ctrl-C: nothing has begun, so nothing is left behind
        shutil.rmtree(run.path, ignore_errors=True)
        raise


def prepare(recipe: Recipe, device: str = "auto", loaded: Loaded | None = None) -> Parts:
    """Check the recipe, load its data, build its parts and try them. Raises UserError for the first mistake.

    ``loaded`` is told of the data.
    """
    check(recipe)
    every, epochs = recipe.train.unfreeze_every, recipe.train.epochs
    if every is not None and every >= epochs:
        raise UserError(
            f"train.unfreeze_every={every:g}: the training ends at train.epochs={epochs:g}, before any frozen stage is "
            "trained: set it lower, or leave it out"
        )
    chosen, splits = Device.choose(device, recipe.train.precision), load_splits(recipe)
    if loaded:
        loaded(splits)
    parts = build(recipe, chosen, splits)
    try_out(parts)
    train = parts.splits.train
    if told := starvation(recipe.model, parts.model.described, train.channels, train.size):
        log.warning("%s", told)
    return parts


def _rebuilt(run: Run, recipe: Recipe, device: str, data: str | None, loaded: Loaded | None) -> Parts:
    """The parts of ``recipe``, which is the run's or close to it, at step 0.

    They are on the images, with the precision, threads, weights and teacher that the run began with.
    """
    env = run.env
    if env.get("device") == "cpu":
        # The number of threads determines the order of sums, and so the bits.
        torch.set_num_threads(env["threads"])
    chosen = Device.choose(device, env.get("precision", run.recipe.train.precision))
    now = {"thirtytwo": __version__, **chosen.describe()}
    for key in ("thirtytwo", "torch", "processor", "device"):
        if key in env and env[key] != now[key]:
            log.warning("%s: began with %s %s, goes on with %s: the bits may differ", run.path, key, env[key], now[key])
    recipe = _as_begun(run, recipe)
    with own_components(run):
        check(recipe)
        if teacher := find_teacher(recipe):
            require_same_weights(
                run, f"its teacher {teacher.path}", "teacher_sha256", teacher.require_trained()["sha256"]
            )
        splits = load_again(run, data)
        if loaded:
            loaded(splits)
        parts = build(recipe, chosen, splits)
    if origin := parts.model.described.origin:
        require_same_weights(run, origin.weights, "weights_sha256", origin.weights_sha256)
    return parts


def _untaught(run: Run) -> Recipe:
    """The recipe of a run that is trained without the teacher and the weights that it learned from."""
    return run.recipe.override({"train.teacher": "none", "model": run.require_trained()["model"]})


def _as_begun(run: Run, recipe: Recipe) -> Recipe:
    """The recipe, with teacher and weights named by where they were when the run began."""
    env = run.env
    found, teacher, model = {}, Spec.parse(recipe.train.teacher), Spec.parse(recipe.model)
    if "teacher" in env and teacher.run:
        found["train.teacher"] = RUN + _found_again(run, env["teacher"], teacher.run)
    if "weights" in env and model.run:
        found["model"] = RUN + _found_again(run, env["weights"], model.run)
    elif "weights" in env and is_file(named := str(model.kwargs.get("weights", ""))):
        there = _found_again(run, env["weights"], named)
        found["model"] = str(replace(model, kwargs={**model.kwargs, "weights": there}))
    return recipe.override(found)


def _found_again(run: Run, then: str, named: str) -> str:
    """Where teacher or weights are: where they were ``then``, by env.json, or else as ``named`` by the recipe."""
    if found := next((path for path in (then, named) if as_path(path).exists()), None):
        return found
    raise UserError(f"{run.path}: started from {then}, which is gone: restore it, and resume again")
