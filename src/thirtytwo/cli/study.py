"""``thirtytwo study``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from thirtytwo.cli.app import DeviceName, Import, Json, Moved, Quiet, Score, app
from thirtytwo.errors import UserError

if TYPE_CHECKING:
    from thirtytwo.study.definition import Study
    from thirtytwo.study.folder import StudyFolder


class _RunsByDefault(TyperGroup):
    """``study NAME`` is short for ``study run NAME``."""

    def parse_args(self, ctx, args):  # type: ignore[no-untyped-def]
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["run", *args]
        return super().parse_args(ctx, args)


study = typer.Typer(
    cls=_RunsByDefault,
    help="Train several recipes with several seeds, and compare them: `thirtytwo study NAME`, FILE.toml or FOLDER.",
    no_args_is_help=True,
)
app.add_typer(study, name="study")

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="A study's folder, such as studies/augmentation.")]


@study.command("list")
def list_studies(as_json: Json = False) -> None:
    """List the studies that come with thirtytwo."""
    from thirtytwo.api import catalogue
    from thirtytwo.cli.console import say_names

    say_names(catalogue.list_studies(), as_json=as_json)


@study.command("show")
def show_study(words: Annotated[list[str], typer.Argument(metavar="STUDY [KEY=VALUE]...")]) -> None:
    """Print a study as TOML, with overrides applied: a file to start a study of your own from."""
    import sys

    # With its name, the copy would be trained in the named study's folder.
    sys.stdout.write(_wanted(words[0], words[1:], None).to_toml(named=False))


@study.command("run")
def run_study(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="STUDY [KEY=VALUE]...",
            help="A study: name, TOML file or a folder to continue; then recipe keys to override in every arm.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Where the study's folder is made.", show_default="studies")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, metavar="N", help="Train with the seeds 0 to N-1.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", min=1, help="Runs to train at a time; they share the cores. [default: one per core]"),
    ] = None,
    device: DeviceName = "auto",
    imports: Import = [],  # noqa: B006
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Train every arm with every seed, score val, and write the report. A study begun before continues."""
    from thirtytwo.cli.console import errors, one_line
    from thirtytwo.display import StudyDisplay
    from thirtytwo.study.folder import StudyFolder
    from thirtytwo.study.workers import begin, train_all
    from thirtytwo.words import plural

    if (Path(words[0]) / "study.json").is_file():
        if words[1:] or out or seeds or device != "auto":
            raise UserError(
                f"{words[0]}: a study continues as it was begun: leave out overrides, --out, --seeds and --device"
            )
        folder = StudyFolder.open(words[0])
    else:
        wanted = _wanted(words[0], words[1:], seeds)
        folder = begin(wanted, out or Path("studies"), jobs=jobs, device=device, imports=imports)
    again = f"`thirtytwo study {one_line(str(folder.path))}` continues"
    try:
        with folder.owned():
            with StudyDisplay(folder.study.name, silent=quiet or as_json) as watch:
                failed = train_all(folder, jobs, watch, imports=imports)
            _finish(folder, as_json=as_json)
    except (KeyboardInterrupt, SystemExit):
        errors.print(f"interrupted: what was trained is saved; {again}")
        raise
    for name, message in failed.items():
        errors.print(one_line(f"{name}: {message}"))
    if failed:
        raise UserError(f"{len(failed)} of {plural(len(folder.trials()), 'run')} failed; {again}")
    return 0


@study.command("status")
def show_status(path: Folder, as_json: Json = False) -> None:
    """Show every run of a study: waiting, running or finished, and its accuracy on val.

    A run that cannot be read is "unreadable", and the reason stands below the table.
    """
    from thirtytwo.cli.console import say, say_json, say_note, say_table
    from thirtytwo.display import output
    from thirtytwo.evaluation.estimate import quantity
    from thirtytwo.study.folder import StudyFolder
    from thirtytwo.words import plural

    folder = StudyFolder.open(path)
    split, arms = folder.split(), folder.study.arms
    states, cells, wrong = {}, {}, {}
    for key in folder.study.runs():
        try:
            trial = folder.trial(*key)
            found = trial.run.accuracies().get(split) if trial.run and folder.shows(trial, split) else None
            states[key] = trial.standing
            cells[key] = quantity(found.value, fine=True) if found else states[key]
        except UserError as error:
            states[key] = cells[key] = "unreadable"
            wrong[key] = str(error)
    if as_json:
        rows = [
            {"arm": arm, "seed": seed, "state": state, "path": str(folder.run_path(arm, seed))}
            | ({"error": wrong[arm, seed]} if (arm, seed) in wrong else {})
            for (arm, seed), state in states.items()
        ]
        say_json({"study": str(folder.path), "closed": folder.closed, "runs": rows})
        return
    finished = [*states.values()].count("finished")
    say("study", folder.study.name, f"{finished} of {plural(len(states), 'run')} finished, {split} shown")
    seeds = folder.study.seeds
    say_table(["arm", *(f"seed {seed}" for seed in seeds)], [[arm, *(cells[arm, s] for s in seeds)] for arm in arms])
    if wrong:
        output.print()
    for reason in wrong.values():
        say_note(reason, style="")


@study.command("report")
def write_report(
    path: Folder,
    score: Score = "accuracy",
    imports: Import = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Print a study's table, and write its report.html and figures again."""
    from thirtytwo.study.folder import StudyFolder

    _finish(StudyFolder.open(path), score, as_json=as_json)


@study.command("close")
def close_study(
    path: Folder,
    arms: Annotated[
        list[str], typer.Option("--arm", help="Score this arm only; may be given several times. [default: all]")
    ] = [],  # noqa: B006
    device: DeviceName = "auto",
    data: Moved = None,
    imports: Import = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Score test, once and for all: nothing in the study is trained after that."""
    from thirtytwo.cli.console import say
    from thirtytwo.study.closing import close
    from thirtytwo.study.folder import StudyFolder

    folder = StudyFolder.open(path)
    close(folder, arms, device=device, data=data, watch=lambda name: None if as_json else say("scored", name))
    _finish(folder, as_json=as_json)


def _wanted(name: str, words: list[str], seeds: int | None) -> "Study":
    from thirtytwo import studies
    from thirtytwo.recipe import parse_assignments

    found = studies.find(name).override(parse_assignments(words))
    return found if seeds is None else found.with_seeds(seeds)


def _finish(folder: "StudyFolder", score: str = "accuracy", *, as_json: bool) -> None:
    from dataclasses import asdict

    from thirtytwo.cli.compared import as_json as rows_as_json
    from thirtytwo.cli.compared import say_compared
    from thirtytwo.cli.console import say, say_json
    from thirtytwo.report.study import view, write

    seen = view(folder, score)
    report = write(folder, seen)
    if as_json:
        together = {arm: {name: asdict(each) for name, each in found.items()} for arm, found in seen.statistics.items()}
        arms = rows_as_json(seen.rows, score)
        where = {"study": str(folder.path), "split": seen.split, "score": score}
        say_json({**where, "arms": arms, "statistics": together, "report": str(report)})
        return
    say_compared(seen.rows, seen.split, seen.metric)
    say("report", str(report))
