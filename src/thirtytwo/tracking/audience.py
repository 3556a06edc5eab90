"""All the listeners of one training."""

import logging
from collections.abc import Callable, Sequence

from typing_extensions import override

from thirtytwo.runs.run import Run
from thirtytwo.tracking.events import Evaluation, Listener, Progress

log = logging.getLogger("thirtytwo")


class Audience(Listener):
    """Tells several listeners, in order."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self.listeners = listeners

    @override
    def began(self, run: Run) -> None:
        for each in self.listeners:
            each.began(run)

    @override
    def progressed(self, progress: Progress) -> None:
        for each in self.listeners:
            each.progressed(progress)

    @override
    def evaluated(self, evaluation: Evaluation) -> None:
        for each in self.listeners:
            each.evaluated(evaluation)

    @override
    def trained(self, run: Run) -> None:
        for each in self.listeners:
            each.trained(run)

    @override
    def ended(self, run: Run) -> None:
        for each in self.listeners:
            each.ended(run)


class Guarded(Listener):
    """A tracker that may fail, as its server may: that ends the tracking, with a warning, but not the training."""

    def __init__(self, tracker: Listener) -> None:
        self.tracker: Listener | None = tracker

    @override
    def began(self, run: Run) -> None:
        self._tell(lambda tracker: tracker.began(run))

    @override
    def progressed(self, progress: Progress) -> None:
        self._tell(lambda tracker: tracker.progressed(progress))

    @override
    def evaluated(self, evaluation: Evaluation) -> None:
        self._tell(lambda tracker: tracker.evaluated(evaluation))

    @override
    def trained(self, run: Run) -> None:
        self._tell(lambda tracker: tracker.trained(run))

    @override
    def ended(self, run: Run) -> None:
        self._tell(lambda tracker: tracker.ended(run))

    def _tell(self, what: Callable[[Listener], None]) -> None:
        if self.tracker is None:
            return
        try:
            what(self.tracker)
        except Exception as error:  # noqa: BLE001  (the user's code, or another package's, may raise anything)
            name = type(self.tracker).__name__
            said = " ".join(str(error).split())
            log.warning("%s failed (%s: %s): the training continues without it", name, type(error).__name__, said)
            self.tracker = None
