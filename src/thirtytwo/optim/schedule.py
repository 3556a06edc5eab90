"""The learning rate's course: a function from the training's progress to a multiplier of the peak rate."""

from dataclasses import dataclass, field
from math import cos, inf, pi
from typing import Annotated

from pydantic import Field
from typing_extensions import override

from thirtytwo.optim import schedules

Share = Annotated[float, Field(ge=0, le=1)]


class Schedule:
    """The course of the learning rate. Most schedules are functions of progress alone; `plateau` also watches val."""

    def __call__(self, progress: float) -> float:
        """The multiplier of the peak learning rate at ``progress`` in [0, 1)."""
        raise NotImplementedError

    def observe(self, loss: float) -> None:
        """Called with val's loss after each evaluation."""

    def state(self) -> dict[str, float]:
        """Its state, for a checkpoint."""
        return {}

    def restore(self, state: dict[str, float]) -> None:
        """Restore what `state` returned."""


def _ramp(progress: float, warmup: float) -> float:
    """Linear from 0 at the start to 1 at ``warmup``."""
    return min(1.0, progress / warmup) if warmup > 0 else 1.0


@schedules.register_as("constant")
@dataclass(frozen=True)
class Constant(Schedule):
    """The peak rate throughout, after a linear warm-up."""

    warmup: Share = 0.0

    @override
    def __call__(self, progress: float) -> float:
        return _ramp(progress, self.warmup)


@schedules.register_as("step")
@dataclass(frozen=True)
class Step(Schedule):
    """Multiplied by ``gamma`` at each share of the training in ``at``."""

    at: tuple[Share, ...] = (0.5, 0.75)
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.1
    warmup: Share = 0.0

    @override
    def __call__(self, progress: float) -> float:
        return _ramp(progress, self.warmup) * self.gamma ** sum(progress >= at for at in self.at)


@schedules.register_as("cosine")
@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from the peak to ``end`` (arXiv 1608.03983, without restarts), after a linear warm-up."""

    warmup: Share = 0.0
    end: Share = 0.0

    @override
    def __call__(self, progress: float) -> float:
        if progress < self.warmup:
            return _ramp(progress, self.warmup)
        done = (progress - self.warmup) / (1 - self.warmup) if self.warmup < 1 else 1.0
        return self.end + (1 - self.end) * (1 + cos(pi * done)) / 2


@schedules.register_as("one_cycle")
@dataclass(frozen=True)
class OneCycle(Schedule):
    """Cosine up from ``start`` to the peak at ``peak``, cosine down to ``end`` (arXiv 1708.07120)."""

    peak: Share = 0.3
    start: Share = 0.04
    end: Share = 0.0

    @override
    def __call__(self, progress: float) -> float:
        if progress < self.peak:
            return self.start + (1 - self.start) * (1 - cos(pi * progress / self.peak)) / 2
        done = (progress - self.peak) / (1 - self.peak) if self.peak < 1 else 1.0
        return self.end + (1 - self.end) * (1 + cos(pi * done)) / 2


@schedules.register_as("triangular")
@dataclass(frozen=True)
class Triangular(Schedule):
    """Linearly up from ``start`` to the peak at ``peak``, linearly down to ``end``."""

    start: Share = 0.2
    peak: Share = 0.23
    end: Share = 0.07

    @override
    def __call__(self, progress: float) -> float:
        if progress < self.peak:
            return self.start + (1 - self.start) * progress / self.peak
        done = (progress - self.peak) / (1 - self.peak) if self.peak < 1 else 1.0
        return 1 + (self.end - 1) * done


@schedules.register_as("plateau")
@dataclass
class Plateau(Schedule):
    """Multiplied by ``factor`` whenever val's loss has not improved for ``patience`` evaluations."""

    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    patience: Annotated[int, Field(ge=1)] = 5
    warmup: Share = 0.0
    _memory: dict[str, float] = field(
        default_factory=lambda: {"best": inf, "waited": 0, "multiplier": 1.0}, init=False, repr=False
    )

    @override
    def __call__(self, progress: float) -> float:
        return _ramp(progress, self.warmup) * self._memory["multiplier"]

    @override
    def observe(self, loss: float) -> None:
        memory = self._memory
        if loss < memory["best"]:
            memory["best"], memory["waited"] = loss, 0
        else:
            memory["waited"] += 1
        if memory["waited"] >= self.patience:
            memory["multiplier"] *= self.factor
            memory["waited"] = 0

    @override
    def state(self) -> dict[str, float]:
        return dict(self._memory)

    @override
    def restore(self, state: dict[str, float]) -> None:
        self._memory.update(state)
