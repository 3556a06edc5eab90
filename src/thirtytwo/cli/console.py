"""How the command line speaks: aligned, quiet, colour only where it means something."""

import json
import sys
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from thirtytwo.metrics import Estimate

LABEL = 14
"""Width of the column that names a line."""

output = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def say(label: str, text: str, note: str = "") -> None:
    """One aligned line: what it is about, what it says, and a dimmer note."""
    shown = (
        f"{escape(label):<{LABEL - 1}} {escape(text):<38}" if note else f"{escape(label):<{LABEL - 1}} {escape(text)}"
    )
    output.print(f"{shown}  [dim]{escape(note)}[/dim]" if note else shown)


def say_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=1, default=str) + "\n")


def percent(share: float, digits: int = 1) -> str:
    """``98.9 %``."""
    return f"{100 * share:.{digits}f} %"


def with_interval(name: str, estimate: Estimate) -> str:
    """A score with its 95 % interval: shares in per cent, the negative log-likelihood in nats."""
    scale, digits = (1, 3) if name == "nll" else (100, 1)
    value, low, high = (f"{scale * each:.{digits}f}" for each in (estimate.value, estimate.low, estimate.high))
    return f"{value:>6}  [{low}, {high}]"


def score_table(columns: dict[str, dict[str, Estimate]]) -> Table:
    """Scores as rows, splits as columns."""
    names = {
        "accuracy": "accuracy %",
        "top5": "top-5 %",
        "nll": "negative log-likelihood",
        "ece": "calibration error %",
        "macro_f1": "macro F1 %",
    }
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("score, 95 % interval")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for key, name in names.items():
        cells = [with_interval(key, scores[key]) if key in scores else "" for scores in columns.values()]
        if any(cells):
            table.add_row(name, *cells)
    return table


def sparkline(values: tuple[float, ...], width: int = 12) -> str:
    """The last ``width`` values as bars, from the smallest to the largest of them."""
    bars = "▁▂▃▄▅▆▇█"
    shown = values[-width:]
    low, high = min(shown, default=0), max(shown, default=0)
    span = high - low or 1
    return "".join(bars[round((value - low) / span * (len(bars) - 1))] for value in shown)


def clock(seconds: float) -> str:
    """``00:04`` or ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"
