"""A run's stored scores, as lines or as JSON."""

from dataclasses import asdict

from rich.table import Table

from thirtytwo.cli.console import plain_table, say, say_json, show
from thirtytwo.display import output, percent
from thirtytwo.evaluation import metrics
from thirtytwo.evaluation.metrics import Estimate
from thirtytwo.report.view import SCORES
from thirtytwo.runs.run import Run


def stored_scores(run: Run) -> dict[str, dict[str, Estimate]]:
    """Every scoring that the run holds: ``test, 6 views`` -> score -> estimate."""
    columns: dict[str, dict[str, Estimate]] = {}
    for split in ("val", "test"):
        for each in run.predictions(split) or ():
            if each is not None:
                columns[split if each.views == 1 else f"{split}, {each.views} views"] = metrics.scores(each)
    return columns


def say_scores(run: Run) -> None:
    """The headline score, then all scores as a table."""
    columns = stored_scores(run)
    if not columns:
        say("scores", "none yet")
        return
    split = "test" if "test" in columns else "val"
    accuracy = columns[split]["accuracy"]
    looks = len(run.looks())
    seen = f"{accuracy.n:,} images" + (f", look {looks}" if split == "test" else ", test not looked at")
    say(split, f"{percent(accuracy.value)}  [{100 * accuracy.low:.1f}, {100 * accuracy.high:.1f}]", seen)
    output.print()
    show(_table(columns))
    output.print()


def _table(columns: dict[str, dict[str, Estimate]]) -> Table:
    """Scores as rows, splits as columns."""
    table = plain_table()
    table.add_column("score, 95 % interval")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for key, (name, unit, _method) in SCORES.items():
        if any(key in scores for scores in columns.values()):
            cells = (_with_interval(scores[key], unit) if key in scores else "" for scores in columns.values())
            table.add_row(f"{name}, {unit}", *cells)
    return table


def _with_interval(estimate: Estimate, unit: str) -> str:
    scale, digits = (100, 1) if unit == "%" else (1, 3)
    value, low, high = (f"{scale * each:.{digits}f}" for each in (estimate.value, estimate.low, estimate.high))
    return f"{value:>6}  [{low}, {high}]"


def say_run_json(run: Run) -> None:
    """The run as one JSON document: where it is, how it went, and by split its scores, classes and confusions.

    ``classes`` and ``confusion`` (rows are the truth, in the order of ``classes``) are without test-time augmentation.
    """
    scores = {name: {key: asdict(each) for key, each in found.items()} for name, found in stored_scores(run).items()}
    plain = {split: found[0] for split in ("val", "test") if (found := run.predictions(split))}
    say_json(
        {
            "run": str(run.path),
            "status": run.status,
            "scores": scores,
            "classes": {split: [asdict(each) for each in metrics.per_class(found)] for split, found in plain.items()},
            "confusion": {split: metrics.confusion(found).tolist() for split, found in plain.items()},
            "looks": len(run.looks()),
        }
    )
