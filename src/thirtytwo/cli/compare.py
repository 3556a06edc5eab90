"""``thirtytwo compare``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from thirtytwo.cli.app import Json, app, complete_run
from thirtytwo.errors import UserError

if TYPE_CHECKING:
    from thirtytwo.evaluation.compare import Group
    from thirtytwo.evaluation.predictions import Predictions
    from thirtytwo.runs.run import Run


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN...",
            help="Runs that were scored. Those of one recipe, whatever their seed, form a group; the word 'vs' between "
            "runs says otherwise where a group begins.",
            autocompletion=complete_run,
        ),
    ],
    split: Annotated[
        Literal["val", "test"],
        typer.Option("--split", help="Which predictions to compare. Choose on val; test is for the last word."),
    ] = "val",
    as_json: Json = False,
) -> None:
    """Compare runs, or groups of runs of several seeds: differences, intervals, and whether chance explains them."""
    from dataclasses import asdict

    from thirtytwo.cli.compared import say_compared
    from thirtytwo.cli.console import say_json
    from thirtytwo.evaluation import compare as comparison

    groups = _by_word(runs, split) if "vs" in runs else _by_recipe(runs, split)
    rows = comparison.compare(groups, [None, *[groups[0]] * (len(groups) - 1)])
    if as_json:
        say_json({"split": split, "groups": [asdict(row) for row in rows]})
    else:
        say_compared(rows, split)


def _by_word(words: list[str], split: str) -> "list[Group]":
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "vs":
            parts.append([])
        else:
            parts[-1].append(word)
    if not all(parts):
        raise UserError("'vs' stands between runs: thirtytwo compare A B vs C D")
    return _groups([[_open(word) for word in part] for part in parts], split)


def _by_recipe(words: list[str], split: str) -> "list[Group]":
    by_recipe: dict[str, list[Run]] = {}
    for word in words:
        run = _open(word)
        alike = run.recipe.override({"seed": 0, "name": "x"}).to_toml()
        by_recipe.setdefault(alike, []).append(run)
    if len(by_recipe) < 2:
        raise UserError(
            "all of these runs are of one recipe: name another one's, or say where a group begins with 'vs'"
        )
    return _groups(list(by_recipe.values()), split)


def _open(word: str) -> "Run":
    from thirtytwo.runs.run import Run

    return Run.open(Path(word))


def _groups(parts: "list[list[Run]]", split: str) -> "list[Group]":
    from thirtytwo.evaluation.compare import Group

    names = [_named([run.name for run in runs]) for runs in parts]
    if len({*names}) < len(names):  # runs of one name in several folders
        names = [_named([str(run.path) for run in runs]) for runs in parts]
    return [Group(name, _scored(runs, split)) for name, runs in zip(names, parts, strict=True)]


def _named(runs: list[str]) -> str:
    return runs[0] if len(runs) == 1 else f"{runs[0]} ... {runs[-1]}"


def _scored(runs: "list[Run]", split: str) -> "dict[int, Predictions]":
    from thirtytwo.study.folder import StudyFolder

    found = {}
    for run in runs:
        scored = run.predictions(split)
        if scored is None:
            remedy = f"`thirtytwo train --resume {run.path}`"
            if split == "test":
                study = StudyFolder.withholding(run.path)
                remedy = f"`thirtytwo study close {study.path}`" if study else f"`thirtytwo test {run.path}`"
            raise UserError(f"{run.path}: was not scored on {split}: {remedy} does it")
        if run.recipe.seed in found:
            raise UserError(f"{run.path}: another run of its group has seed {run.recipe.seed} too: leave one out")
        found[run.recipe.seed] = scored[0]
    return found
