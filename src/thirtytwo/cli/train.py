"""``thirtytwo train``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thirtytwo.cli.app import BadImages, DeviceName, Import, Json, Moved, Quiet, RecipeWords, Track, app, complete_run
from thirtytwo.errors import UserError

if TYPE_CHECKING:
    from thirtytwo.data.split import Splits
    from thirtytwo.recipe import Recipe
    from thirtytwo.tracking import Listener
    from thirtytwo.training.session import Session

RUNS = Path("runs")


@app.command()
def train(
    words: RecipeWords = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where run folders are made.", show_default="runs")] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume", metavar="RUN", help="Continue a run exactly where it stopped.", autocompletion=complete_run
        ),
    ] = None,
    goes_on: Annotated[
        Path | None,
        typer.Option(
            "--continue",
            metavar="RUN",
            help="Go on from a run's weights and optimizer in a new run: `--continue RUN epochs=20`, the new total.",
            autocompletion=complete_run,
        ),
    ] = None,
    data: Moved = None,
    device: DeviceName = "auto",
    test: Annotated[bool, typer.Option("--test/--no-test", help="Score the test split after the last step.")] = True,
    checkpoint_every: Annotated[
        float, typer.Option("--checkpoint-every", metavar="SECONDS", help="Time between checkpoints.", min=0)
    ] = 30.0,
    bad_images: BadImages = None,
    track: Track = [],  # noqa: B006
    imports: Import = [],  # noqa: B006
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Train a recipe, score it and write its report.

    `thirtytwo train` trains a small network on scikit-learn's digits; `thirtytwo train cifar10-fast optim.lr=0.2`
    starts from a recipe and overrides a key. `thirtytwo recipes list` and `thirtytwo recipes keys` list both.
    """
    words, recipe = words or [], None
    if resume or goes_on:
        given = {"--out": out, "--bad-images": bad_images, "--no-test": not test}
        _require_fitting(words, resume, goes_on, [option for option, value in given.items() if value])
    elif data:
        raise UserError(f"--data {data}: goes with --resume or --continue: a new training takes data.source={data}")
    else:
        recipe = wanted(words, bad_images)

    from thirtytwo.cli.console import errors
    from thirtytwo.recipe import parse_assignments
    from thirtytwo.tracking import trackers
    from thirtytwo.training.session import Session

    silent, heard_by = quiet or as_json, [trackers.build(name) for name in track]
    loaded = None if silent else _say_data
    try:
        if resume:
            session = Session.resume(resume, device=device, data=data, loaded=loaded)
        elif goes_on:
            changes = parse_assignments(words)
            session = Session.go_on(
                goes_on, changes, out=out or RUNS, device=device, test=test, data=data, loaded=loaded
            )
        else:
            assert recipe is not None
            session = Session.new(recipe, out=out or RUNS, device=device, test=test, imports=imports, loaded=loaded)
    except (KeyboardInterrupt, SystemExit):
        errors.print("interrupted: nothing had begun")
        raise
    if not silent:
        _introduce(session, words)
    return _complete(session, heard_by, checkpoint_every, silent=silent, as_json=as_json)


def _complete(
    session: "Session", heard_by: "list[Listener]", checkpoint_every: float, *, silent: bool, as_json: bool
) -> int:
    """Train to the end, score, report and print; the exit code."""
    from thirtytwo.cli.console import errors, one_line, say
    from thirtytwo.data.waiting import busy
    from thirtytwo.display import Display
    from thirtytwo.interrupt import Interrupted

    remedy = f"`thirtytwo train --resume {one_line(str(session.run.path))}` continues"
    try:
        with Display(session.run.recipe.train.epochs, silent=silent) as display:
            session.complete(listeners=[display], trackers=heard_by, checkpoint_every=checkpoint_every)
        # Not before: they import all of SciPy, which would delay the first step by a second.
        from thirtytwo.cli.scores import say_run_json, say_scores
        from thirtytwo.report.html import write as write_report

        with busy("drawing the report"):
            report = write_report(session.run)
    except Interrupted as interrupted:
        saved = f": saved at step {session.run.status['step']}" if session.run.recipe.train.solver == "steps" else ""
        errors.print(f"interrupted{saved}; {remedy}")
        return 128 + interrupted.signal
    except (KeyboardInterrupt, SystemExit):  # between making the folder and the first step, or after the last one
        errors.print(f"interrupted; {remedy}")
        raise
    if as_json:
        say_run_json(session.run)
    else:
        say_scores(session.run)
        say("report", str(report))
    return 0


def _require_fitting(words: list[str], resume: Path | None, goes_on: Path | None, options: list[str]) -> None:
    """Raise UserError for words and ``options`` that do not go with --resume or --continue, of which one is given."""
    if resume and goes_on:
        raise UserError("--resume continues a run as it was begun, --continue goes on in a new one: choose one of them")
    overrides = " ".join(words)
    if resume and words and all("=" in word for word in words):
        raise UserError(
            f"--resume {resume}: a resumed run stays as it was begun: leave out '{overrides}', or go on in a new run: "
            f"`thirtytwo train --continue {resume} {overrides}`"
        )
    if resume and (extra := [*words, *options]):
        raise UserError(f"--resume {resume}: a resumed run stays as it was begun: leave out '{extra[0]}'")
    if extra := [*(word for word in words if "=" not in word), *(each for each in options if each == "--bad-images")]:
        raise UserError(f"--continue {goes_on}: takes recipe and images from that run: leave out '{extra[0]}'")


def wanted(words: list[str], bad_images: str | None = None) -> "Recipe":
    """The recipe that command-line words ask for: a name first, unless it is an override, then overrides."""
    from thirtytwo import recipes
    from thirtytwo.recipe import parse_assignments

    name, overrides = ("digits-cnn", words) if not words or "=" in words[0] else (words[0], words[1:])
    assignments = parse_assignments(overrides)
    if bad_images is not None:
        assignments["data.bad_images"] = bad_images
    return recipes.find(name).override(assignments)


def _say_data(splits: "Splits") -> None:
    from thirtytwo.cli.console import say
    from thirtytwo.words import plural

    train = splits.train
    sizes = {name: len(getattr(splits, name)) for name in ("train", "val", "test")}
    height, width = train.size
    colour = "grey" if train.channels == 1 else "RGB"
    say(
        splits.name,
        f"{sum(sizes.values()):,} {colour} images {height}x{width}, {plural(len(train.classes), 'class')}",
        " · ".join(f"{name} {size:,}" for name, size in sizes.items()),
    )
    for note in splits.notes:
        say("", note)


def _introduce(session: "Session", words: list[str]) -> None:
    from thirtytwo.cli.console import say
    from thirtytwo.words import plural

    parts, recipe = session.parts, session.run.recipe
    if (begun := session.run.env.get("continued")) and session.run.status["state"] == "created":
        before = plural(round(parts.feed.epoch(begun["step"]), 3), "epoch")
        rate = f"{recipe.schedule} over all {plural(recipe.train.epochs, 'epoch')}"
        say("continues", f"{begun['run']}, {before}", f"{rate}: the rate is {begun['rate']:.2g} of its peak")
    elif session.run.status["state"] == "finished":
        say(
            "finished",
            "there is nothing to resume",
            f"`thirtytwo train --continue {session.run.path} epochs=...` trains on",
        )
    elif words and (Path(words[0]) / "status.json").is_file():
        say("recipe", f"of {words[0]}", f"trained anew; `--continue {words[0]}` goes on from its weights")
    parameters = sum(parameter.numel() for parameter in parts.model.parameters())
    solver = recipe.train.solver
    steps = f"{plural(recipe.train.epochs, 'epoch')} of {plural(parts.feed.steps_per_epoch, 'step')}"
    say(
        session.run.name,
        f"{recipe.model}, {plural(parameters, 'parameter')}",
        f"{session.device.torch}, {session.device.precision}, {steps if solver == 'steps' else f'head by {solver}'}",
    )
    if parts.teacher is not None:
        card = parts.teacher.require_trained()
        say(
            "teacher",
            f"{card['model']}, {plural(card['parameters'], 'parameter')}",
            f"{parts.teacher.path}, temperature {recipe.train.temperature:g}, weight {recipe.train.teacher_weight:g}",
        )
    if recipe.train.freeze != "none":
        from thirtytwo.models.stages import sentence, table

        say("freeze", f"{recipe.train.freeze}: {sentence(table(parts.model.described, parts.freeze.since))}")
    if parts.probed and solver != "knn" and recipe.augment != "none":
        say(
            "features",
            "each image passes the frozen part once, "
            f"in at most {plural(recipe.train.feature_views, 'augmented view')}",
        )
    elif parts.probed:
        say("features", "each image passes the frozen part once")
