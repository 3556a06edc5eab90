"""Who is told about a training while it runs: `events` says what, and trackers by name pass it on to other tools.

A tracker is a `thirtytwo.tracking.events.Listener`, registered with ``@trackers.register``.
"""

from thirtytwo.registry import Registry
from thirtytwo.tracking.events import Evaluation, Listener, Progress

trackers: Registry[Listener] = Registry("tracker", package="thirtytwo.tracking")

__all__ = ["Evaluation", "Listener", "Progress", "trackers"]
