"""A comparison as a table, or as JSON."""

from dataclasses import asdict
from math import isnan
from typing import Any

from thirtytwo.cli.console import one_line, say, say_table
from thirtytwo.display import output
from thirtytwo.evaluation.compare import Compared, p_text
from thirtytwo.evaluation.estimate import number, points, titled
from thirtytwo.evaluation.metrics import ImageMetric


def say_compared(rows: list[Compared], split: str, metric: ImageMetric) -> None:
    """One row per group: its score, and its difference from what it is compared with."""
    if not rows:
        say("compared", "nothing yet: no run is finished")
        return
    scored = titled(f"{split} {metric.title}", metric.unit, capital=False)
    numeric = (scored, "difference", "p, Holm", "detectable")
    columns = ("", scored, "difference", "p, Holm", "verdict", "detectable")
    say_table(columns, [_cells(row, metric.unit) for row in rows], right=numeric, gap=2)
    tests = {row.difference.test for row in rows if row.difference}
    against = list(dict.fromkeys(row.difference.against for row in rows if row.difference))
    if against:
        compared = one_line(against[0]) if len(against) == 1 else "the row before"
        counts = sorted({len(row.by_seed) for row in rows})
        said = f"{' or '.join(map(str, counts))} seed{'s' if counts != [1] else ''}; "
        if any(not isnan(row.mean.low) for row in rows):
            said += "± is the 95 % interval over seeds"
            detail = "; detectable: what this\nmany seeds would find with 80 % probability"
        else:
            said += "[ ] is the 95 % interval over images (bootstrap)"
            detail = "; it is about\nthese runs: other seeds may differ"
        output.print(
            f"\n{said}. Differences from {compared}\nin {points(metric.unit) or 'its own unit'}; p by "
            f"{', '.join(sorted(tests))}, corrected for all rows{detail}.",
            style="dim",
        )
    if unspread := [row.name for row in rows if row.difference and isnan(row.difference.p)]:
        output.print(f"No p-value, since the differences have no spread: {one_line(', '.join(unspread))}.", style="dim")


def as_json(rows: list[Compared], score: str) -> list[dict[str, Any]]:
    """One entry per group. For accuracy, its values by seed are called ``accuracies``, and their mean ``accuracy``."""
    called = {"by_seed": "accuracies", "mean": "accuracy"} if score == "accuracy" else {}
    return [{called.get(key, key): value for key, value in asdict(row).items()} for row in rows]


def _cells(row: Compared, unit: str) -> list[str]:
    mean = row.mean
    cells = [row.name, f"{mean.number(unit, fine=True)} {mean.spread(unit, fine=True)}".rstrip()]
    if row.difference is None:
        return [*cells, "", "", "", ""]
    found = row.difference
    over_seeds = found.value.spread(unit, fine=True)
    return [
        *cells,
        f"{found.value.number(unit, fine=True, sign='+')} "
        + (over_seeds or found.over_images.interval(unit, fine=True, sign="+")),
        "" if isnan(found.p_holm) else p_text(found.p_holm),
        found.verdict,
        "" if isnan(found.detectable) else number(found.detectable, unit, fine=True),
    ]
