"""A comparison as a table."""

from math import isnan

from thirtytwo.cli.console import one_line, plain_table, say, show
from thirtytwo.display import output
from thirtytwo.evaluation.compare import Compared, p_text
from thirtytwo.evaluation.metrics import Estimate


def say_compared(rows: list[Compared], split: str) -> None:
    """A row a group: its accuracy, and its difference to what it is compared with."""
    if not rows:
        say("compared", "nothing yet: no run is finished")
        return
    table = plain_table(padding=2)
    columns = ("", f"{split} accuracy, %", "difference", "p, Holm", "", "detectable")
    for title in columns:
        table.add_column(title, justify="left" if title == "" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row))
    show(table)
    tests = {row.difference.test for row in rows if row.difference}
    against = list(dict.fromkeys(row.difference.against for row in rows if row.difference))
    if against:
        compared = one_line(against[0]) if len(against) == 1 else "the row before"
        counts = sorted({len(row.accuracies) for row in rows})
        said = f"{' or '.join(map(str, counts))} seed{'s' if counts != [1] else ''}; "
        if any(not isnan(row.accuracy.low) for row in rows):
            said += "± is the 95 % interval over seeds"
            detail = "; detectable: what so\nmany seeds would find with 80 % probability"
        else:
            said += "[ ] is the 95 % interval over images (bootstrap)"
            detail = "; it speaks of\nthese runs: other seeds may differ"
        output.print(
            f"\n{said}. Differences to {compared}\nin percentage points; p by {', '.join(sorted(tests))}, corrected "
            f"for all rows{detail}.",
            style="dim",
        )


def _cells(row: Compared) -> list[str]:
    cells = [one_line(row.name), _with_spread(row.accuracy, "")]
    if row.difference is None:
        return cells
    found = row.difference
    verdict = ("better" if found.value.value > 0 else "worse") if found.shown else "not shown"
    return [
        *cells,
        _with_spread(found.value, "+") if not isnan(found.value.low) else _with_ends(found.over_images),
        "" if isnan(found.p_holm) else p_text(found.p_holm),
        verdict,
        "" if isnan(found.detectable) else f"{100 * found.detectable:.2f}",
    ]


def _with_ends(estimate: Estimate) -> str:
    value, low, high = (100 * each for each in (estimate.value, estimate.low, estimate.high))
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def _with_spread(estimate: Estimate, sign: str) -> str:
    value = f"{100 * estimate.value:{sign}.2f}"
    return value if isnan(estimate.low) else f"{value} ± {50 * (estimate.high - estimate.low):.2f}"
