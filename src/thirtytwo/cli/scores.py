"""A run's stored scores, as lines or as JSON."""

from dataclasses import asdict

from thirtytwo.cli.console import say, say_json, say_table
from thirtytwo.display import output
from thirtytwo.evaluation import metrics
from thirtytwo.evaluation.estimate import titled
from thirtytwo.evaluation.per_class import per_class
from thirtytwo.runs.run import Run
from thirtytwo.runs.scored import Scored, stored_scores
from thirtytwo.words import plural


def say_scores(run: Run) -> None:
    """The headline score, then all scores as a table."""
    found = stored_scores(run)
    if not found:
        say("scores", "none yet")
        return
    by_split = {each.split: each for each in found if each.views == 1}
    split = "test" if "test" in by_split else "val"
    accuracy = by_split[split].scores["accuracy"]
    looks = len(run.looks())
    seen = plural(accuracy.n, "image") + (f", look {looks}" if split == "test" else ", test not looked at")
    say(split, f"{accuracy.quantity()}  {accuracy.interval()}", seen)
    output.print()
    _say_table(found)
    output.print()


def _say_table(found: list[Scored]) -> None:
    """Scores as rows, scorings as columns."""
    rows = []
    for name in dict.fromkeys(name for each in found for name in each.scores):
        title, unit, _ = metrics.described(name)
        estimates = [each.scores.get(name) for each in found]
        cells = (f"{each.number(unit):>6} {each.interval(unit)}" if each else "" for each in estimates)
        rows.append([titled(title, unit), *cells])
    say_table(["score, 95 % interval", *(each.name for each in found)], rows, gap=2)  # 79 characters, whole at 80


def say_run_json(run: Run) -> None:
    """The run as one JSON document: where it is, how it went, and by split its scores, classes and confusions.

    ``classes`` and ``confusion`` (rows are the truth, in the order of ``classes``) are without test-time augmentation.
    """
    scores = {each.name: {name: asdict(found) for name, found in each.scores.items()} for each in stored_scores(run)}
    plain = {split: found[0] for split in ("val", "test") if (found := run.predictions(split))}
    say_json(
        {
            "run": str(run.path),
            "status": run.status,
            "scores": scores,
            "classes": {split: [asdict(each) for each in per_class(found)] for split, found in plain.items()},
            "confusion": {split: metrics.confusion(found).tolist() for split, found in plain.items()},
            "looks": len(run.looks()),
        }
    )
