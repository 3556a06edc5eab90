"""``thirtytwo runs``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thirtytwo.cli.app import Import, Json, RunPath, app
from thirtytwo.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirtytwo.cli.listed import Row

runs = typer.Typer(help="List the runs in a folder, or show one.", no_args_is_help=True)
app.add_typer(runs, name="runs")


@runs.command("list")
def list_runs(
    root: Annotated[Path, typer.Argument(help="The folder that holds the runs.")] = Path("runs"),
    sort: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Sort by a column or recipe key: val, date, lr. -val: the best first."),
    ] = None,
    filters: Annotated[
        list[str],
        typer.Option(
            "--filter",
            metavar="EXPR",
            help="Show the runs for which it holds: 'seed=1', 'augment~flip', 'accuracy>0.9' (of val). Repeatable.",
        ),
    ] = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """One line per run: what differs between them, when and how long it trained, val and test accuracy.

    A terminal shows the columns that it has room for, the most important ones first; a file or pipe gets all of them.
    A run that cannot be read has the reason as its state; on a terminal it is named below the others.
    """
    from thirtytwo.cli.console import one_line, say_json, say_note, say_table, terminal_width
    from thirtytwo.cli.listed import GAP, NUMERIC, columns, differing, filtered, fitted, left_out, ordered, read, title
    from thirtytwo.display import output

    if not root.is_dir():
        raise UserError(f"{root}: no such folder: train something first, or name the folder that holds your runs")
    found = [read(path) for path in root.iterdir() if (path / "status.json").is_file()]
    rows = ordered(filtered(found, filters), sort)
    differ = differing(rows)
    if as_json:
        say_json([_as_json(row, differ) for row in rows])
        return
    if not rows:
        none = f"none of its {len(found):,} runs is as --filter asks" if found else "holds no runs yet"
        output.print(f"{one_line(str(root))}{':' if found else ''} {none}")
        return
    width = terminal_width()
    bad = [] if width is None else [row for row in rows if row.wrong]
    if whole := rows if width is None else [row for row in rows if not row.wrong]:
        table = columns(whole, differ)
        shown = table if width is None else fitted(table, width)
        numeric = [title(column) for column in shown if column in NUMERIC]
        say_table([*map(title, shown)], [*zip(*shown.values(), strict=True)], right=numeric, gap=GAP)
        if away := left_out(table, shown):
            output.print()
            say_note(f"no room for {', '.join(away)}: a wider terminal or --json has them")
    if whole and bad:
        output.print()
    for row in bad:
        say_note(row.wrong, style="")


@runs.command("show")
def show_run(run: RunPath, imports: Import = [], as_json: Json = False) -> None:  # noqa: B006
    """Show what a run trained, on what, how it went and what it scored."""
    from thirtytwo.cli.console import say
    from thirtytwo.cli.scores import say_run_json, say_scores
    from thirtytwo.display import clock
    from thirtytwo.report.view import standing
    from thirtytwo.runs.run import Run
    from thirtytwo.words import plural

    found = Run.open(run)
    if as_json:
        say_run_json(found)
        return
    status, split, env = found.status, found.split, found.env
    ended = (
        f"imported from {env['imported']}"
        if "imported" in env
        else f"finished, {plural(status.get('step', 0), 'step')}"
    )
    say("run", str(found.path), standing(found) or ended)
    if begun := env.get("continued"):
        say("goes on", f"from step {begun['step']:,} of {begun['run']}")
    if split:
        sizes = " · ".join(f"{name} {size:,}" for name, size in split["sizes"].items())
        say("data", f"{split['name']}, {plural(len(split['classes']), 'class')}", sizes)
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
            f"{env['device']}, {env['precision']}, {plural(env['threads'], 'thread')}",
            clock(status.get("seconds", 0)),
        )
    say_scores(found)


def _as_json(row: "Row", differ: "Sequence[str]") -> dict[str, Any]:
    """A row with its accuracies in 0..1, its size as [height, width], and the keys that differ between the runs."""
    scores = {name: found and vars(found) for name in ("val", "test") for found in [row.values[name]]}
    return {**row.values, **scores, "differs": {key: row.recipe.get(key) for key in differ}}
