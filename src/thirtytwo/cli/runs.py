"""``thirtytwo runs``."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from thirtytwo.cli.app import Import, Json, RunPath, app
from thirtytwo.errors import UserError

runs = typer.Typer(help="List the runs in a folder, or show one.", no_args_is_help=True)
app.add_typer(runs, name="runs")

COLUMNS = ("state", "data", "model", "seed", "val", "test", "looks")


@runs.command("list")
def list_runs(
    root: Annotated[Path, typer.Argument(help="The folder that holds the runs.")] = Path("runs"), as_json: Json = False
) -> None:
    """One line per run: state, data, model, seed, val and test accuracy with its interval, looks."""
    from thirtytwo.cli.console import one_line, plain_table, say_json, show
    from thirtytwo.display import output
    from thirtytwo.paths import natural

    if not root.is_dir():
        raise UserError(f"{root}: no such folder: train something first, or name the folder that holds your runs")
    paths = [path for path in root.iterdir() if (path / "status.json").is_file()]
    rows = [_row(path) for path in sorted(paths, key=lambda path: natural(path.name))]
    if as_json:
        say_json([{**row, **{k: row[k] and vars(row[k]) for k in ("val", "test")}} for row in rows])
        return
    if not rows:
        output.print(f"{one_line(str(root))} holds no runs yet")
        return
    table = plain_table()
    for column in rows[0]:
        table.add_column(f"{column} %" if column in ("val", "test") else column, no_wrap=column == "run")
    # One row of long cells, which rich lays out four times faster than 200 rows.
    table.add_row(*("\n".join(_cell(row[column]) for row in rows) for column in rows[0]))
    show(table)


@runs.command("show")
def show_run(run: RunPath, imports: Import = [], as_json: Json = False) -> None:  # noqa: B006
    """Show what a run trained, on what, how it went and what it scored."""
    from thirtytwo.cli.console import say
    from thirtytwo.cli.scores import say_run_json, say_scores
    from thirtytwo.display import clock
    from thirtytwo.report.view import standing
    from thirtytwo.runs.run import Run

    found = Run.open(run)
    if as_json:
        say_run_json(found)
        return
    status, split, env = found.status, found.split, found.env
    ended = f"imported from {env['imported']}" if "imported" in env else f"finished, {status.get('step', 0):,} steps"
    say("run", str(found.path), standing(found) or ended)
    if split:
        sizes = " · ".join(f"{name} {size:,}" for name, size in split["sizes"].items())
        say("data", f"{split['name']}, {len(split['classes'])} classes", sizes)
    say("model", found.recipe.model, f"augment {found.recipe.augment}")
    if "teacher" in env:
        say(
            "teacher",
            env["teacher"],
            f"temperature {found.recipe.train.temperature:g}, weight {found.recipe.train.teacher_weight:g}",
        )
    if env:
        say(
            "computed",
            f"{env['device']}, {env['precision']}, {env['threads']} thread{'s' if env['threads'] > 1 else ''}",
            clock(status.get("seconds", 0)),
        )
    say_scores(found)


def _row(path: Path) -> dict[str, Any]:
    """What the list says about one run; for a run that cannot be read, what is wrong with it."""
    from thirtytwo.runs.run import Run

    row: dict[str, Any] = {"run": str(path), **dict.fromkeys(COLUMNS)}
    try:
        run = Run.open(path)
        state = run.standing
        row["state"] = "imported" if state == "finished" and "imported" in run.env else state
        cut = run.split
        row["data"] = cut["name"] if cut else run.recipe.data.source
        row["model"], row["seed"] = run.recipe.model, run.recipe.seed
        row |= run.accuracies()
        row["looks"] = len(run.looks())
    except UserError as error:
        # The path is in the row already; the remedy is for those who open the run.
        row["state"] = re.split(r" \(|, ", str(error).removeprefix(str(path)).lstrip("/\\: "))[0]
    return row


def _cell(value: object) -> str:
    from thirtytwo.cli.console import one_line
    from thirtytwo.evaluation.estimate import Estimate

    if isinstance(value, Estimate):
        return f"{value.number()} {value.interval()}"
    return "" if value is None else one_line(str(value))
