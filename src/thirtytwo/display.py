"""The progress of a training: a line that updates itself on a terminal or in a notebook, else a line now and then."""

import time
from collections.abc import Sequence
from math import isinf
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from thirtytwo.evaluation.estimate import quantity
from thirtytwo.tracking.events import Evaluation, Listener, Progress
from thirtytwo.words import plural

if TYPE_CHECKING:
    from thirtytwo.runs.run import Run
    from thirtytwo.study.folder import Trial
    from thirtytwo.study.workers import Standing

output = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
LABEL = 14
"""Width of the column that names a line."""
BAR = 20
"""Width of the bar in characters."""
PLAIN_SECONDS = 5.0
"""Least time between two lines of progress where the output is not a terminal."""


class _Renewed:
    """A line that updates itself within this context; none where ``silent`` or where the output cannot do that.

    It begins with the first update: what is prepared before that shows bars of its own on the same terminal.
    """

    def __init__(self, *, silent: bool) -> None:
        self.silent = silent
        self._live = None if silent else _renewed_line()
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def _update(self, line: Text) -> None:
        if self._live and not self._begun:
            self._live.start()
            self._begun = True
        if self._live:
            self._live.update(line, refresh=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._live and self._begun:
            self._live.stop()


class Display(_Renewed, Listener):
    """Shows how far a training is; ``silent`` shows nothing."""

    def __init__(self, epochs: float, *, silent: bool) -> None:
        super().__init__(silent=silent)
        self.epochs = epochs
        self._accuracies: list[float] = []
        self._shown = time.monotonic()
        self._last: Progress | None = None

    def began(self, run: "Run") -> None:
        """Start from the curve before the resume."""
        self._accuracies = [record["val_accuracy"] for record in run.metrics()]

    def evaluated(self, evaluation: Evaluation) -> None:
        """Continue the curve."""
        self._accuracies.append(evaluation.val_accuracy)

    def progressed(self, progress: Progress) -> None:
        """Show how far the training is."""
        self._last = progress
        if self._live:
            self._update(self._line(progress))
        elif not self.silent and time.monotonic() - self._shown > PLAIN_SECONDS:
            self._shown = time.monotonic()
            output.print(self._line(progress))

    def trained(self, run: "Run") -> None:
        """Show the last line, which stays; the scoring that follows shows a bar of its own."""
        if self._last and self._live:
            self._update(self._line(self._last, over=True))
            self._stop()
        elif self._last and not self.silent:
            output.print(self._line(self._last, over=True))

    def _passed(self, progress: Progress) -> str:
        """Epochs of those asked for, which steps only come near to: ``0.15/0.3``, at the end ``0.3/0.3``."""
        passed = progress.share * self.epochs
        return f"{self.epochs:.7g}" if progress.step == progress.steps else f"{passed:.2f}"

    def _line(self, progress: Progress, *, over: bool = False) -> Text:
        label = f"epoch {self._passed(progress)}/{self.epochs:.7g}"
        loss, left = f"loss {progress.loss:.3f}", f"{clock(progress.remaining)} left"
        val = f"val {quantity(self._accuracies[-1])}" if self._accuracies else ""
        curve, spent = sparkline(self._accuracies), clock(progress.seconds)
        both, left = (spent, spent) if over else (f"{spent}, {left}", left)
        return _fitting(
            label, progress.share, ((loss, val, curve), both), ((loss, val), both), ((val,), left), ((), left)
        )


class StudyDisplay(_Renewed):
    """Shows how far a study is: a line that updates itself, and a line for each finished run."""

    def __init__(self, name: str, *, silent: bool) -> None:
        super().__init__(silent=silent)
        self.name = name
        self._told = 0

    def __call__(self, standing: "Standing") -> None:
        """Print the runs that have finished since the last call, and update the line."""
        if self.silent:
            return
        for trial in standing.done[self._told :]:
            output.print(self._finished(trial, standing))
        self._told = len(standing.done)
        if self._live:
            self._update(self._line(standing))

    def _finished(self, trial: "Trial", standing: "Standing") -> str:
        assert trial.run is not None
        found = trial.run.accuracies()["val"]
        took = clock(trial.run.status["seconds"])
        left = "" if self._live else f"   {standing.before + len(standing.done)} of {plural(standing.runs, 'run')}"
        return f"{trial.arm:<{LABEL + 6}} seed {trial.seed}   val {quantity(found.value, fine=True)}   {took}{left}"

    def _line(self, standing: "Standing") -> Text:
        finished, took = standing.before + len(standing.done), clock(standing.seconds)
        at_work = [f"{each.trial.name} {each.share:.0%}" for each in standing.working if each.trial]
        left = took if isinf(standing.remaining) else f"{took}, {clock(standing.remaining)} left"
        return _fitting(
            f"{finished}/{plural(standing.runs, 'run')}", standing.share, ((", ".join(at_work),), left), ((), left)
        )


class NotebookLine:
    """The counterpart of `Live` in a notebook: one line of a cell's output that updates itself, once per second."""

    def __init__(self) -> None:
        self._line = Text()
        self._shown = time.monotonic()

    def start(self) -> None:
        """Reserve a place in the cell's output."""
        from IPython.display import display

        self._handle = display(self._line, display_id=True)

    def update(self, line: Text, *, refresh: bool) -> None:
        """Show another line, at once or within a second."""
        self._line = line
        if time.monotonic() - self._shown > 1:
            self._show()

    def stop(self) -> None:
        """Show the last line, which stays."""
        self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        self._handle.update(self._line)


def _renewed_line() -> Live | NotebookLine | None:
    if output.is_jupyter:
        return NotebookLine()
    return Live(console=output, auto_refresh=False) if output.is_terminal else None


def _fitting(label: str, share: float, *forms: tuple[Sequence[str], str]) -> Text:
    """A line with a bar, in the first of ``forms`` that fits the terminal, its bar shorter before the next is tried.

    A form is what follows the bar, and the times at the end. What is printed once, into a file, is the first form.
    """
    line = Text()
    for said, times in forms:
        for width in (BAR, BAR // 2, BAR // 4):
            line = Text(f"{label:<{LABEL - 1}} ")
            done = round(share * width)
            line.append("━" * done, style="green").append("╌" * (width - done), style="dim")
            line.append("".join(f"  {each}" for each in said if each)).append(f"  {times}", style="dim")
            if not output.is_terminal or line.cell_len < output.width:
                return line
    return line


def sparkline(values: Sequence[float], width: int = 12) -> str:
    """At most ``width`` of the values, from the first to the last, as bars scaled from the smallest to the largest."""
    bars = "▁▂▃▄▅▆▇█"
    count = min(width, len(values))
    shown = [values[round(i * (len(values) - 1) / max(1, count - 1))] for i in range(count)]
    low, high = min(shown, default=0), max(shown, default=0)
    span = high - low or 1
    return "".join(bars[round((value - low) / span * (len(bars) - 1))] for value in shown)


def clock(seconds: float) -> str:
    """``00:04`` or ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"
