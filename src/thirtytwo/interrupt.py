"""Ctrl-C and SIGTERM, turned into a question that a loop asks between two steps."""

import signal
import threading
from types import FrameType, TracebackType


class Interrupted(Exception):
    """A training was asked to stop and has saved its state: `thirtytwo.resume` continues it. ``signal`` is what asked.

    >>> from thirtytwo import Interrupted
    >>> raise Interrupted(2)
    Traceback (most recent call last):
    thirtytwo.interrupt.Interrupted: interrupted by SIGINT
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(signal_number).name}")
        self.signal = signal_number


class Interruption:
    """Within this context the first SIGINT or SIGTERM is only noted; a second one acts immediately.

    Outside the main thread, where Python allows no handlers, it notes nothing.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.requested: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in self._SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._put_back()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = number
        self._put_back()

    def _put_back(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous = {}
