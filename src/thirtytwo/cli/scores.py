"""A run's stored scores, as lines or as JSON."""

from dataclasses import asdict
from typing import Any

from thirtytwo import metrics
from thirtytwo.cli.console import output, percent, say, say_json, score_table
from thirtytwo.metrics import Estimate
from thirtytwo.run import Run


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
    output.print(score_table(columns))
    output.print()


def say_run_json(run: Run) -> None:
    """The run as one JSON document: where it is, how it went, its scores and looks."""
    scores: dict[str, Any] = {
        name: {key: asdict(each) for key, each in found.items()} for name, found in stored_scores(run).items()
    }
    say_json({"run": str(run.path), "status": run.status, "scores": scores, "looks": len(run.looks())})
