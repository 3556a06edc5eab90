"""``thirtytwo runs``."""

from pathlib import Path
from typing import Annotated

import typer

from thirtytwo.cli.app import Json, RunPath, app
from thirtytwo.errors import UserError

runs = typer.Typer(help="List the runs in a folder, or show one.", no_args_is_help=True)
app.add_typer(runs, name="runs")


@runs.command("list")
def list_runs(
    root: Annotated[Path, typer.Argument(help="The folder that holds the runs.")] = Path("runs"), as_json: Json = False
) -> None:
    """A line a run: state, recipe, data, val and test accuracy with its interval, looks."""
    from thirtytwo.cli.console import output, say_json
    from thirtytwo.cli.scores import stored_scores
    from thirtytwo.run import Run

    if not root.is_dir():
        raise UserError(f"{root}: no such folder: train something first, or name the folder that holds your runs")
    found = [Run.open(path) for path in sorted(root.iterdir()) if (path / "status.json").is_file()]
    rows = []
    for run in found:
        scores = stored_scores(run)
        rows.append(
            {
                "run": str(run.path),
                "state": run.status["state"],
                "data": run.split.get("name", run.recipe.data.source),
                "model": run.recipe.model,
                "seed": run.recipe.seed,
                **{split: scores[split]["accuracy"] if split in scores else None for split in ("val", "test")},
                "looks": len(run.looks()),
            }
        )
    if as_json:
        say_json([{**row, **{k: row[k] and vars(row[k]) for k in ("val", "test")}} for row in rows])
        return
    if not rows:
        output.print(f"{root} holds no runs yet")
        return

    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for column in rows[0]:
        table.add_column(f"{column} %" if column in ("val", "test") else column, no_wrap=column == "run")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    output.print(table)


@runs.command("show")
def show_run(run: RunPath, as_json: Json = False) -> None:
    """What a run trained, on what, how it went and what it scored."""
    from thirtytwo.cli.console import clock, say
    from thirtytwo.cli.scores import say_run_json, say_scores
    from thirtytwo.run import Run

    found = Run.open(run)
    if as_json:
        say_run_json(found)
        return
    status, split, env = found.status, found.split, found.env
    say("run", str(found.path), f"{status['state']}, step {status.get('step', 0)} of {status.get('steps', '?')}")
    if split:
        sizes = " · ".join(f"{name} {size:,}" for name, size in split["sizes"].items())
        say("data", f"{split['name']}, {len(split['classes'])} classes", sizes)
    say("model", found.recipe.model, f"augment {found.recipe.augment}")
    if env:
        say(
            "computed",
            f"{env['device']}, {env['precision']}, {env['threads']} threads",
            clock(status.get("seconds", 0)),
        )
    if status.get("message"):
        say("message", status["message"])
    say_scores(found)


def _cell(value: object) -> str:
    from thirtytwo.metrics import Estimate

    if isinstance(value, Estimate):
        return f"{100 * value.value:.1f} [{100 * value.low:.1f}, {100 * value.high:.1f}]"
    return "" if value is None else str(value)
