"""The progress of a training: one line that renews itself on a terminal, a line now and then elsewhere."""

import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from thirtytwo.state import Progress

output = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
LABEL = 14
"""Width of the column that names a line."""
BAR = 20
"""Width of the bar in characters."""
PLAIN_SECONDS = 5.0
"""Least time between two lines of progress where the output is no terminal."""


class Display:
    """Shows the progress that it is called with; ``silent`` shows nothing."""

    def __init__(self, epochs: float, *, silent: bool) -> None:
        self.epochs = epochs
        self.silent = silent
        self._live = Live(console=output, auto_refresh=False) if output.is_terminal and not silent else None
        self._shown = time.monotonic()

    def __enter__(self) -> "Display":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, progress: "Progress") -> None:
        if self._live:
            self._live.update(self._line(progress), refresh=True)
        elif not self.silent and (time.monotonic() - self._shown > PLAIN_SECONDS or progress.step == progress.steps):
            self._shown = time.monotonic()
            output.print(self._line(progress))

    def _line(self, progress: "Progress") -> Text:
        share = progress.step / progress.steps
        done = round(share * BAR)
        line = Text(f"{f'epoch {progress.epoch:.4g}/{self.epochs:g}':<{LABEL - 1}} ")
        line.append("━" * done, style="green")
        line.append("━" * (BAR - done), style="dim")
        line.append(f"  loss {progress.loss:.3f}")
        if progress.val_accuracies:
            line.append(f"  val {percent(progress.val_accuracies[-1])}  {sparkline(progress.val_accuracies)}")
        line.append(f"  {clock(progress.seconds)}, {clock(progress.remaining)} left", style="dim")
        return line


def percent(share: float, digits: int = 1) -> str:
    """``98.9 %``."""
    return f"{100 * share:.{digits}f} %"


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
