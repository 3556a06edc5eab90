"""The front door: what the command line and a notebook both call."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Unpack

from torch import nn

from thirtytwo import recipes, studies
from thirtytwo.api.overrides import Changes, Overrides, assignments
from thirtytwo.api.study_result import StudyResult
from thirtytwo.api.trained import TrainedRun
from thirtytwo.data import given as given_data
from thirtytwo.data.given import GivenData
from thirtytwo.display import Display, StudyDisplay, output
from thirtytwo.errors import UserError
from thirtytwo.imports import run_file
from thirtytwo.models import given as given_models
from thirtytwo.paths import as_path
from thirtytwo.range_test import STEPS, RangeTest, ladder, range_test
from thirtytwo.recipe import Recipe
from thirtytwo.runs.imported import Channels, import_weights, recipe_beside
from thirtytwo.runs.run import Run
from thirtytwo.spec import OWN, Spec
from thirtytwo.study.definition import Study
from thirtytwo.study.folder import StudyFolder
from thirtytwo.study.workers import begin, train_all
from thirtytwo.tracking import Listener, trackers
from thirtytwo.training.session import Session, prepare


def train(
    recipe: str | Path | Recipe = "digits-cnn",
    *,
    out: str | Path = "runs",
    device: str = "auto",
    test: bool = True,
    progress: bool = True,
    track: str | Listener | Sequence[str | Listener] = (),
    **overrides: Unpack[Overrides],
) -> TrainedRun:
    """Train a recipe, score it and write its report.

    >>> from thirtytwo import train
    >>> run = train("digits-cnn", epochs=2, model="cnn2(width=4)")
    >>> run.path.name
    'digits-cnn-...'

    Args:
        recipe: what to train: a name, a TOML file, an earlier run's folder, or a `Recipe`.
        out: where the run folder is made.
        device: "auto", "cpu", "cuda" or another torch device.
        test: whether to score the test split after the last step.
        progress: whether to show progress, on a terminal or in a notebook. Nothing is added to a script's output.
        track: trackers by name, or listeners of your own, that follow the training.
        overrides: recipe keys, ``epochs=3``; a dot is written as two underscores, ``data__source="mnist"``. ``model``
            may be a network of your own, and ``data`` arrays or a PyTorch dataset: see `Overrides`.

    Raises:
        UserError: a mistake, in one line that says what to do.
        Interrupted: asked to stop; `resume` continues.
    """
    found, heard_by = _found(recipe).override(assignments(overrides)), _listeners(track)
    return _completed(Session.new(found, out=as_path(out), device=device, test=test), progress, heard_by)


def resume(
    path: str | Path,
    *,
    out: str | Path = "runs",
    device: str = "auto",
    progress: bool = True,
    track: str | Listener | Sequence[str | Listener] = (),
    model: nn.Module | None = None,
    data: str | Path | GivenData | None = None,
    **changes: Unpack[Changes],
) -> TrainedRun:
    """Continue a run exactly where it stopped, or go on from it in a new run, with more epochs; score it and report.

    >>> from thirtytwo import resume, train
    >>> run = train(epochs=2, model="cnn2(width=2)", progress=False)
    >>> resume(run.path).path == run.path
    True
    >>> longer = resume(run.path, epochs=3, progress=False)
    >>> longer.path == run.path, len(longer.run.metrics())
    (False, 3)

    Args:
        path: the run's folder.
        out: where the folder of a new run is made.
        device: as in `train`.
        progress: as in `train`.
        track: as in `train`.
        model: the network again, where `train` was given it as an object.
        data: the images again, where `train` was given them as objects, or where they are now, if they were moved.
        changes: with any, a new run goes on from the weights, the optimizer and the average of this one, which stays as
            it is. ``epochs`` is the new total, and the schedule is that of the whole new training, from the step where
            the old one ended. Without, a finished run stays as it is.

    Raises UserError when there is nothing to continue, or the images or the first weights have changed.
    """
    source, heard_by = _given_again(path, model, data), _listeners(track)
    if changes:
        session = Session.go_on(as_path(path), assignments(changes), out=as_path(out), device=device, data=source)
    else:
        session = Session.resume(as_path(path), device=device, data=source)
    return _completed(session, progress, heard_by)


def open_run(
    path: str | Path,
    *,
    device: str = "auto",
    model: nn.Module | None = None,
    data: str | Path | GivenData | None = None,
) -> TrainedRun:
    """Open a run, to predict with it or to report on it.

    >>> from thirtytwo import open_run, train
    >>> run = open_run(train(epochs=2, progress=False).path)
    >>> run.classes[:3]
    ('0', '1', '2')

    Args:
        path: the run's folder.
        device: where it predicts.
        model: the network again, where `train` was given it as an object.
        data: the images again, where `train` was given them as objects, or where they are now, if they were moved.

    Raises UserError when there is no run; predicting needs one that is trained.
    """
    return TrainedRun.open(path, device=device, data=_given_again(path, model, data))


def find_lr(
    recipe: str | Path | Recipe = "digits-cnn",
    *,
    low: float | None = None,
    high: float | None = None,
    steps: int = STEPS,
    device: str = "auto",
    progress: bool = True,
    **overrides: Unpack[Overrides],
) -> RangeTest:
    """Look for a learning rate: train a few steps at a rate that grows from ``low`` to ``high``. Nothing is kept.

    >>> from thirtytwo import find_lr
    >>> found = find_lr("digits-cnn", model="cnn2(width=4)", steps=40, progress=False)
    >>> 1e-4 < found.overrides["optim.lr"] < 1
    True

    Args:
        recipe: as in `train`.
        low: the first ``optim.lr``; by default a thousandth of the recipe's.
        high: the last ``optim.lr``; by default a thousand times the recipe's.
        steps: training steps, each at a higher rate.
        device: as in `train`.
        progress: as in `train`.
        overrides: as in `train`.

    In a notebook the result shows its figure; ``train(found.recipe.override(found.overrides))`` trains as it suggests.
    """
    found = _found(recipe).override(assignments(overrides))
    rates = ladder(found, low, high, steps)
    parts = prepare(found, device)
    with _display(parts.feed.epoch(steps), progress) as display:
        return range_test(parts, rates, listener=display)


def import_run(
    file: str | Path,
    recipe: str | Path | Recipe | None = None,
    *,
    key: str | None = None,
    mean: Channels = (),
    std: Channels = (),
    out: str | Path = "runs",
    device: str = "auto",
    test: bool = False,
    **overrides: Unpack[Overrides],
) -> TrainedRun:
    """Make a run from a state dict that was trained elsewhere, and score it on val.

    >>> from thirtytwo import import_run, train
    >>> file = train(epochs=2, model="cnn2(width=2)", progress=False).export("digits.pth")
    >>> import_run(file).scores("val")["accuracy"].n
    144

    Args:
        file: the state dict of the network alone; no code in it is run.
        recipe: which network and which data the weights are for, as in `train`; None takes the recipe that `export`
            left beside the file.
        key: which state dict is taken from a file of several, such as ``"ema.state_dict"``; None takes the only one,
            and where an average is beside it, not the average.
        mean: the mean of each channel, in 0..1, that the network was trained with.
        std: the standard deviations, likewise.
        out: as in `train`.
        device: as in `train`.
        test: whether to score the test split too.
        overrides: as in `train`.
    """
    path = as_path(file)
    found = (recipe_beside(path) if recipe is None else _found(recipe)).override(assignments(overrides))
    run = import_weights(path, found, key=key, mean=mean, std=std, out=as_path(out), device=device, test=test)
    return TrainedRun.open(run.path, device=device)


def run_study(
    study: str | Path | Study,
    *,
    out: str | Path = "studies",
    seeds: int | None = None,
    jobs: int | None = None,
    device: str = "auto",
    progress: bool = True,
    imports: str | Path | Sequence[str | Path] = (),
    **overrides: Unpack[Overrides],
) -> StudyResult:
    """Train every arm of a study with every seed, and write its report. A study begun before continues.

    >>> from thirtytwo import run_study
    >>> result = run_study("digits", seeds=1, jobs=1, model="cnn2(width=2)", epochs=1, progress=False)
    >>> [row.name for row in result.table()]
    ['none', 'shift', 'turn', 'mirror']

    Args:
        study: what to train: a name, a TOML file, or a `Study`.
        out: where the study's folder is made.
        seeds: train with the seeds 0 to N-1 instead of the study's own.
        jobs: runs to train at a time; by default one per core.
        device: where a new study's runs are trained, as in `train`.
        progress: whether to show progress, on a terminal or in a notebook.
        imports: Python files of yours that register components, run here and by the study's processes.
        overrides: recipe keys for all arms, as in `train`. Each run trains in a process of its own, which finds
            networks and data by name only.

    Raises UserError for a mistake, and after the last run when some of them failed.
    """
    if given := [key for key, value in overrides.items() if key == "data" or isinstance(value, nn.Module)]:
        raise UserError(
            f"{given[0]}: the processes of a study know networks and data by name only: register yours in a file, and "
            "name that by imports=, or `thirtytwo study --import FILE`"
        )
    files = [as_path(file) for file in ([imports] if isinstance(imports, str | Path) else imports)]
    for file in files:
        run_file(file)
    wanted = (study if isinstance(study, Study) else studies.find(str(study))).override(assignments(overrides))
    if seeds is not None:
        wanted = wanted.with_seeds(seeds)
    folder = begin(wanted, as_path(out), jobs=jobs, device=device, imports=files)
    with folder.owned(), StudyDisplay(wanted.name, silent=_silent(progress)) as watch:
        failed = train_all(folder, jobs, watch, imports=files)
    result = StudyResult(folder)
    result.report()
    if failed:
        raise UserError(f"{folder.path}: {'; '.join(f'{run}: {message}' for run, message in failed.items())}")
    return result


def open_study(path: str | Path) -> StudyResult:
    """Open a study's folder, to look at its table and its runs. Raises UserError when there is none.

    >>> from thirtytwo import Study, open_study, run_study
    >>> arms = {"plain": {}, "mirror": {"augment": "flip"}}
    >>> small = {"model": "cnn2(width=2)", "epochs": 1}
    >>> study = Study(name="mirror", base="digits-cnn", seeds=[0], set=small, arms=arms)
    >>> run_study(study, jobs=1, progress=False)
    StudyResult('studies/mirror')
    >>> open_study("studies/mirror").run("mirror", seed=0).classes[:3]
    ('0', '1', '2')
    """
    return StudyResult(StudyFolder.open(path))


def _found(recipe: str | Path | Recipe) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else recipes.find(str(recipe))


def _listeners(track: str | Listener | Sequence[str | Listener]) -> list[Listener]:
    named = [track] if isinstance(track, str | Listener) else track
    found = [trackers.build(each) if isinstance(each, str) else each for each in named]
    if wrong := [each for each in found if not isinstance(each, Listener)]:
        raise UserError(f"track={wrong[0]!r}: is not a tracker: expected a name, or an instance of a Listener's class")
    return found


def _completed(session: Session, progress: bool, heard_by: Sequence[Listener]) -> TrainedRun:
    """The session trained to its end, scored and reported on."""
    with _display(session.run.recipe.train.epochs, progress) as display:
        session.complete(listeners=[display], trackers=heard_by)
    trained = TrainedRun(session.run, session.device)
    trained.report()
    return trained


def _given_again(path: str | Path, model: nn.Module | None, data: str | Path | GivenData | None) -> str | None:
    """Bind the objects to the names that the run's recipe has for them, and say where its images are if that is given.

    Images may also be those of a run that was trained on a named source: their hashes decide.
    """
    if model is not None:
        named = Run.open(path).recipe.model
        if Spec(named).prefix != OWN:
            raise UserError(f"{path}: was trained with model '{named}', which needs no object: leave model= out")
        given_models.register(model, Spec.parse(named).name)
    if data is None or isinstance(data, str | Path):
        return None if data is None else str(data)
    named = Run.open(path).recipe.data.source
    return given_data.register(data, named if Spec(named).prefix == OWN else None)


def _silent(progress: bool) -> bool:
    """Nothing is added to a script's output."""
    return not (progress and (output.is_terminal or output.is_jupyter))


def _display(epochs: float, progress: bool) -> AbstractContextManager[Any]:
    return Display(epochs, silent=_silent(progress))
