"""The verbs and the options that they share."""

import os
from glob import escape, glob
from pathlib import Path
from typing import Annotated, Literal

import typer

from thirtytwo.imports import run_file

app = typer.Typer(
    name="thirtytwo",
    help="Train, compare and explain small-image classifiers: CIFAR-10, MNIST, or a folder of your own pictures.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _import(files: list[Path]) -> list[Path]:
    """Run the user's own files, so that what they register is found by name."""
    for file in files:
        run_file(file)
    return files


def _version(wanted: bool) -> None:
    if wanted:
        from thirtytwo.version import __version__

        typer.echo(f"thirtytwo {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train, compare and explain small-image classifiers: CIFAR-10, MNIST, or a folder of your own pictures."""


def complete_words(incomplete: str) -> list[str]:
    """Recipes, keys to override and run folders that begin with ``incomplete``."""
    from thirtytwo.recipe import keys
    from thirtytwo.recipes import recipes

    overrides = [f"{key}=" for key in keys() if key.startswith(incomplete)]
    return [*recipes.names(f"{incomplete}*"), *overrides, *complete_run(incomplete)]


def complete_run(incomplete: str) -> list[str]:
    """Run folders that begin with ``incomplete``, here or in ``runs``."""
    found = {*glob(f"{escape(incomplete)}*/status.json"), *glob("runs/*/status.json")}  # noqa: PTH207  (keeps the words)
    return sorted(folder for status in found if (folder := os.path.dirname(status)).startswith(incomplete))  # noqa: PTH120


def complete_score(incomplete: str) -> list[str]:
    """Scores per image that begin with ``incomplete``."""
    from thirtytwo.evaluation.metrics import image_scores

    return [name for name in image_scores() if name.startswith(incomplete)]


Import = Annotated[
    list[Path],
    typer.Option("--import", help="Run a Python file of your own that registers components.", callback=_import),
]
RecipeWords = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RECIPE] [KEY=VALUE]...",
        help="A recipe: name, TOML file or run folder (default: digits-cnn); then keys to override.",
        autocompletion=complete_words,
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the results only.")]
DeviceName = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or another torch device.")]
Track = Annotated[
    list[str],
    typer.Option("--track", help="Name of a tracker that follows the training; may be given several times."),
]
BadImages = Annotated[
    Literal["fail", "skip"] | None,
    typer.Option("--bad-images", help="What to do with pictures that cannot be read: stop, or leave them out."),
]
Invert = Annotated[
    bool, typer.Option("--invert", help="Swap dark and light first: for black on white, if trained on the reverse.")
]
Moved = Annotated[
    str | None,
    typer.Option(
        "--data", metavar="SOURCE", help="Where the run's images are now, if they were moved: they must be the same."
    ),
]
Score = Annotated[
    str,
    typer.Option(
        "--score",
        help="What to compare: accuracy, top5, nll or another mean over images.",
        autocompletion=complete_score,
    ),
]
RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run's folder.", autocompletion=complete_run, show_default=False)
]
