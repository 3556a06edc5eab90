"""The verbs and the options that they share."""

import importlib.util
import sys
from pathlib import Path
from typing import Annotated

import typer

from thirtytwo.errors import UserError

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
        spec = importlib.util.spec_from_file_location(file.stem, file)
        if not file.is_file() or spec is None or spec.loader is None:
            raise UserError(f"--import {file}: no such Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[file.stem] = module
        spec.loader.exec_module(module)
    return files


def _version(wanted: bool) -> None:
    if wanted:
        from thirtytwo import __version__

        typer.echo(f"thirtytwo {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Train, compare and explain small-image classifiers: CIFAR-10, MNIST, or a folder of your own pictures."""


def _complete_recipe(incomplete: str) -> list[str]:
    from thirtytwo.recipes import recipes

    return recipes.names(f"{incomplete}*")


Import = Annotated[
    list[Path],
    typer.Option("--import", help="Run a Python file of yours that registers components.", callback=_import),
]
RecipeWords = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RECIPE] [KEY=VALUE]...",
        help="A recipe's name, TOML file or run folder (default: digits-cnn), then keys to override.",
        autocompletion=_complete_recipe,
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the results only.")]
DeviceName = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or another torch device.")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", show_default=False)]
