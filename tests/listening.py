"""A listener for tests that act while a training goes on."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

from thirtytwo.tracking import Listener, Progress


@dataclass
class OnProgress(Listener):
    """Calls ``act`` at each report of progress."""

    act: Callable[[Progress], object]

    def progressed(self, progress: Progress) -> None:
        self.act(progress)


def interrupting(when: Callable[[Progress], bool]) -> OnProgress:
    """A listener that asks this process to stop, as Ctrl-C does, at each report for which ``when`` holds."""
    return OnProgress(lambda progress: os.kill(os.getpid(), signal.SIGINT) if when(progress) else None)
