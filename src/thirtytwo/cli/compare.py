"""``thirtytwo compare``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from thirtytwo.cli.app import Import, Json, Score, app, complete_run
from thirtytwo.errors import UserError

if TYPE_CHECKING:
    from thirtytwo.runs.run import Run


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN...",
            help="Scored runs. Runs of one recipe, whatever their seeds, form a group; the word 'vs' between runs "
            "separates groups instead.",
            autocompletion=complete_run,
        ),
    ],
    split: Annotated[
        Literal["val", "test"],
        typer.Option("--split", help="Which predictions to compare. Choose on val; test is for the last word."),
    ] = "val",
    score: Score = "accuracy",
    imports: Import = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Compare runs, or groups of runs of several seeds: differences, intervals, and whether chance explains them."""
    from thirtytwo.api import comparison
    from thirtytwo.cli.compared import as_json as rows_as_json
    from thirtytwo.cli.compared import say_compared
    from thirtytwo.cli.console import say_json
    from thirtytwo.evaluation.metrics import image_metric

    metric = image_metric(score)
    named = _by_word(runs) if "vs" in runs else _by_recipe(runs)
    rows = comparison.compare(named, split=split, score=score)
    if as_json:
        say_json({"split": split, "score": score, "groups": rows_as_json(rows, score)})
    else:
        say_compared(rows, split, metric)


def _by_word(words: list[str]) -> "dict[str, list[Run]]":
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "vs":
            parts.append([])
        else:
            parts[-1].append(word)
    if not all(parts):
        raise UserError("'vs' belongs between runs: thirtytwo compare A B vs C D")
    return _by_name([[_open(word) for word in part] for part in parts])


def _by_recipe(words: list[str]) -> "dict[str, list[Run]]":
    by_recipe: dict[str, list[Run]] = {}
    for word in words:
        run = _open(word)
        alike = run.recipe.override({"seed": 0, "name": "x"}).to_toml()
        by_recipe.setdefault(alike, []).append(run)
    if len(by_recipe) < 2:
        raise UserError(
            "all of these runs have the same recipe: name runs of another one, or separate groups with 'vs'"
        )
    return _by_name(list(by_recipe.values()))


def _open(word: str) -> "Run":
    from thirtytwo.runs.run import Run

    return Run.open(Path(word))


def _by_name(parts: "list[list[Run]]") -> "dict[str, list[Run]]":
    names = [_named([run.name for run in runs]) for runs in parts]
    if len({*names}) < len(names):  # runs of the same name in several folders
        names = [_named([str(run.path) for run in runs]) for runs in parts]
    if len({*names}) < len(names):  # a group that was named twice
        names = [f"{name} ({number})" for number, name in enumerate(names, 1)]
    return dict(zip(names, parts, strict=True))


def _named(runs: list[str]) -> str:
    return runs[0] if len(runs) == 1 else f"{runs[0]} ... {runs[-1]}"
