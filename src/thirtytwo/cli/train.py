"""``thirtytwo train``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thirtytwo.cli.app import BadImages, DeviceName, Import, Json, Quiet, RecipeWords, Track, app, complete_run
from thirtytwo.errors import UserError

if TYPE_CHECKING:
    from thirtytwo.recipe import Recipe
    from thirtytwo.training.session import Session


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
    recipe = None if resume else wanted(words or [], bad_images)
    extra = words[0] if words else "--out" if out else "--bad-images" if bad_images else "" if test else "--no-test"
    if resume and extra:
        raise UserError(f"--resume {resume}: a resumed run stays as it was begun: leave out '{extra}'")

    from thirtytwo.cli.console import errors, one_line, say
    from thirtytwo.display import Display
    from thirtytwo.interrupt import Interrupted
    from thirtytwo.tracking import trackers
    from thirtytwo.training.session import Session

    silent, heard_by = quiet or as_json, [trackers.build(name) for name in track]
    try:
        if resume:
            session = Session.resume(resume, device=device)
        else:
            assert recipe is not None
            session = Session.new(recipe, out=out or Path("runs"), device=device, test=test, imports=imports)
    except (KeyboardInterrupt, SystemExit):
        errors.print("interrupted: nothing had begun")
        raise
    if not silent:
        _introduce(session)
    goes_on = f"`thirtytwo train --resume {one_line(str(session.run.path))}` continues"
    try:
        with Display(session.run.recipe.train.epochs, silent=silent) as display:
            session.complete(listeners=[display], trackers=heard_by, checkpoint_every=checkpoint_every)
        # Not before: they import all of SciPy, which would delay the first step by a second.
        from thirtytwo.cli.scores import say_run_json, say_scores
        from thirtytwo.report.html import write as write_report

        report = write_report(session.run)
    except Interrupted as interrupted:
        saved = f": saved at step {session.run.status['step']}" if session.run.recipe.train.solver == "steps" else ""
        errors.print(f"interrupted{saved}; {goes_on}")
        return 128 + interrupted.signal
    except (KeyboardInterrupt, SystemExit):  # between making the folder and the first step, or after the last one
        errors.print(f"interrupted; {goes_on}")
        raise
    if as_json:
        say_run_json(session.run)
    else:
        say_scores(session.run)
        say("report", str(report))
    return 0


def wanted(words: list[str], bad_images: str | None = None) -> "Recipe":
    """The recipe that command-line words ask for: a name first, unless it is an override, then overrides."""
    from thirtytwo import recipes
    from thirtytwo.recipe import parse_assignments

    name, overrides = ("digits-cnn", words) if not words or "=" in words[0] else (words[0], words[1:])
    assignments = parse_assignments(overrides)
    if bad_images is not None:
        assignments["data.bad_images"] = bad_images
    return recipes.find(name).override(assignments)


def _introduce(session: "Session") -> None:
    from thirtytwo.cli.console import say
    from thirtytwo.display import plural

    parts, recipe = session.parts, session.run.recipe
    train = parts.splits.train
    sizes = {name: len(getattr(parts.splits, name)) for name in ("train", "val", "test")}
    height, width = train.size
    colour = "grey" if train.channels == 1 else "RGB"
    say(
        parts.splits.name,
        f"{sum(sizes.values()):,} {colour} images {height}x{width}, {plural(len(train.classes), 'class')}",
        " · ".join(f"{name} {size:,}" for name, size in sizes.items()),
    )
    for note in parts.splits.notes:
        say("", note)
    parameters = sum(parameter.numel() for parameter in parts.model.parameters())
    solver = recipe.train.solver
    steps = f"{plural(recipe.train.epochs, 'epoch')} of {plural(parts.feed.steps_per_epoch, 'step')}"
    say(
        session.run.name,
        f"{recipe.model}, {parameters:,} parameters",
        f"{session.device.torch}, {session.device.precision}, {steps if solver == 'steps' else f'head by {solver}'}",
    )
    if parts.teacher is not None:
        card = parts.teacher.require_trained()
        say(
            "teacher",
            f"{card['model']}, {card['parameters']:,} parameters",
            f"{parts.teacher.path}, temperature {recipe.train.temperature:g}, weight {recipe.train.teacher_weight:g}",
        )
    if recipe.train.freeze != "none":
        from thirtytwo.models.stages import sentence, table

        say("freeze", f"{recipe.train.freeze}: {sentence(table(parts.model.described, parts.freeze.since))}")
    if parts.probed and solver != "knn" and recipe.augment != "none":
        say(
            "features",
            f"each image passes the frozen part once, in at most {recipe.train.feature_views} augmented views",
        )
    elif parts.probed:
        say("features", "each image passes the frozen part once")
