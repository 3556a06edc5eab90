"""A learning-rate range test: a short training whose rate grows at each step, and the rate that its losses suggest.

After Smith (2015, arXiv 1506.01186, section 3.3), with the rate growing exponentially instead of linearly, as in
fastai: what matters is the order of magnitude.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import exp, inf, isfinite, log, sqrt
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import torch

from thirtytwo.errors import UserError
from thirtytwo.figures import canvas
from thirtytwo.figures.rates import loss_over_rate
from thirtytwo.files import write_atomic
from thirtytwo.recipe import Recipe
from thirtytwo.tracking.events import Listener, Progress
from thirtytwo.training.build import Parts
from thirtytwo.training.loop import TICK, advance
from thirtytwo.words import plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = 100
FEWEST = 20
"""With fewer steps there is nothing to smooth."""
REACH = 1000.0
"""By default, rates go from the recipe's ``optim.lr`` divided by this to ``optim.lr`` times this."""
LEAST, MOST = 1e-30, 1e30
"""Bounds of the rates."""
MEAN = 0.05
"""Share of the steps over which a smoothed loss is a mean."""
SKIPPED = 0.1
"""Share of the first steps from which no suggestion is taken: their smoothed losses are means of few losses."""
EXPLODED = 4.0
"""The test ends when the smoothed loss is this many times its lowest, as in fastai."""
BEYOND_CHANCE = 6.0
"""Standard errors by which a smoothed loss has to fall: noise alone does so in fewer than 1 of 100 tests."""


@dataclass(frozen=True, repr=False)
class RangeTest:
    """What a range test measured in T steps, and the rate that it suggests. In a notebook it shows its figure.

    Attributes:
        recipe: what was trained.
        steps: how many were planned. T is smaller when the loss exploded.
        rates: (T,) ``optim.lr`` of each step.
        losses: (T,) the training loss of each step's batch, before its update.

    >>> import thirtytwo
    >>> found = thirtytwo.find_lr("digits-cnn", model="cnn2(width=4)", steps=40, progress=False)
    >>> len(found.rates) == len(found.losses) <= 40
    True
    """

    recipe: Recipe
    steps: int
    rates: tuple[float, ...]
    losses: tuple[float, ...]

    @cached_property
    def smoothed(self) -> tuple[float, ...]:
        """Exponential means of the losses so far, (T,), corrected for their start as in Adam (arXiv 1412.6980)."""
        return tuple(map(_Mean(self.steps), self.losses))

    @cached_property
    def centres(self) -> tuple[float, ...]:
        """The rate at which to draw each smoothed loss, (T,): the mean log rate of its steps, with the same weights.

        At the rate of its last step the whole curve would be too far to the right.
        """
        return tuple(map(exp, map(_Mean(self.steps), map(log, self.rates))))

    @cached_property
    def lowest(self) -> int | None:
        """The step of the lowest smoothed loss; None where the loss does not fall by more than its noise."""
        if len(self.smoothed) <= self._first:
            return None
        lowest = min(range(self._first, len(self.smoothed)), key=self.smoothed.__getitem__)
        # For normal noise the median of the differences is 0.95 standard deviations, and an explosion hardly moves it.
        noise = median(abs(after - before) for before, after in pairwise(self.losses))
        decay = _Mean(self.steps).decay
        error = noise * sqrt((1 - decay) / (1 + decay))
        return lowest if self._start - self.smoothed[lowest] > BEYOND_CHANCE * error else None

    @cached_property
    def suggestion(self) -> float | None:
        """The rate, to two digits, where the smoothed loss first is half way down to its lowest; None if there is none.

        The loss over the log rate falls in the shape of an S, whose steepest point, the usual choice, is half way
        down. The slope itself is noisy: its minimum jumps between bumps, up to the edge of the explosion. fastai's
        "valley" takes the middle of the descent, along the other axis, for the same reason. On the digits the
        suggestion is a tenth to a third of the rate of the lowest loss, where fastai's "minimum" takes a tenth.
        """
        if self.lowest is None:
            return None
        half = (self._start + self.smoothed[self.lowest]) / 2
        step = next(step for step in range(self._first, self.lowest + 1) if self.smoothed[step] <= half)
        return float(f"{self.centres[step]:.2g}")

    @property
    def overrides(self) -> dict[str, float]:
        """The suggested keys: ``optim.lr``, and the other rates that the recipe sets, changed by the same factor."""
        if self.suggestion is None:
            return {}
        optim = self.recipe.optim
        named = {"lr": optim.lr, "bias_lr": optim.bias_lr, "head_lr": optim.head_lr}
        factor = self.suggestion / optim.lr
        return {f"optim.{key}": float(f"{factor * rate:.2g}") for key, rate in named.items() if rate is not None}

    @cached_property
    def figure(self) -> "Figure":
        """Losses over the rate, with the lowest loss and the suggestion marked."""
        return loss_over_rate(
            self.rates,
            self.losses,
            self.centres,
            self.smoothed,
            name=self.recipe.name,
            own=self.recipe.optim.lr,
            lowest=self.lowest,
            suggestion=self.suggestion,
        )

    def save(self, file: str | Path) -> Path:
        """Write the figure as a PNG file. Raises UserError as `require_free` does, or when it cannot be written."""
        path = Path(file)
        require_free(path)
        write_atomic(path, canvas.png_bytes(self.figure))
        return path

    def __repr__(self) -> str:
        said = ", ".join(f"{key}={value:g}" for key, value in self.overrides.items())
        return f"RangeTest({self.recipe.name}: {said or 'no rate lowers the loss'})"

    def _repr_html_(self) -> str:
        return canvas.img(self.figure, repr(self))

    @property
    def _first(self) -> int:
        return round(SKIPPED * self.steps)

    @property
    def _start(self) -> float:
        """The loss before it falls: a median, since single batches scatter."""
        return median(self.losses[: 2 * self._first])


def ladder(
    recipe: Recipe, low: float | None = None, high: float | None = None, steps: int = STEPS
) -> tuple[float, ...]:
    """The rates of a test of ``recipe``: ``low * (high / low) ** (i / (steps - 1))``.

    A bound that is None is the recipe's ``optim.lr``, divided or multiplied by `REACH`. Raises UserError when the rates
    do not grow, the steps are fewer than `FEWEST`, or the recipe trains without steps.
    """
    if recipe.train.solver != "steps":
        raise UserError(f"train.solver={recipe.train.solver}: has no learning rate to look for: set train.solver=steps")
    low = recipe.optim.lr / REACH if low is None else low
    high = recipe.optim.lr * REACH if high is None else high
    if not LEAST <= low < high <= MOST:
        raise UserError(
            f"rates from {low:g} to {high:g}: the lower bound must be below the upper one, both between {LEAST:g} and "
            f"{MOST:g}: the recipe's optim.lr is {recipe.optim.lr:g}"
        )
    if steps < FEWEST:
        raise UserError(
            f"{plural(steps, 'step')} {'is' if steps == 1 else 'are'} too few to tell a fall of the loss from noise: "
            f"take {FEWEST} or more"
        )
    return tuple(low * (high / low) ** (i / (steps - 1)) for i in range(steps))


def require_free(file: Path) -> None:
    """Raise UserError unless ``file`` can become a new PNG file."""
    if file.suffix.lower() != ".png":
        raise UserError(f"{file}: the picture is a PNG file: name it {file.stem or 'find-lr'}.png")
    if file.exists():
        raise UserError(f"{file}: exists already: name another file with --out FILE.png")
    if not file.parent.is_dir():
        raise UserError(f"{file}: its folder does not exist: make {file.parent}, or name another file")


def range_test(parts: Parts, rates: Sequence[float], *, listener: Listener) -> RangeTest:
    """Train one step at each of ``rates``, which stand for ``optim.lr``; other groups' rates grow by the same factor.

    Except those that end at an epoch of their own (speednet's whitening biases), which no schedule changes either.

    The steps are those of a training: its batches, augmentations, dropout and frozen stages, without its schedule,
    averages, compilation and cached features, which would take longer than the test. It ends early when the smoothed
    loss has exploded (`EXPLODED`) or a loss is not finite, which is left out. Val and test are not used. The model of
    ``parts`` is changed.

    Raises UserError when not even the first loss is finite.
    """
    steps = len(rates)
    mean, lowest = _Mean(steps), inf
    losses: list[float] = []
    began = ticked = time.monotonic()
    gpus = [parts.device.torch] if parts.device.torch.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus), parts.device.training():
        for step, rate in enumerate(rates):
            loss = float(advance(parts, parts.model, step, rate / parts.recipe.optim.lr)[0])
            if not isfinite(loss):
                break
            losses.append(loss)
            now, done = time.monotonic(), step + 1
            if now - ticked > TICK or done == steps:
                ticked, seconds = now, now - began
                left = seconds / done * (steps - done)
                listener.progressed(Progress(done, steps, parts.feed.epoch(done), loss, seconds, left))
            smoothed = mean(loss)
            lowest = min(lowest, smoothed)
            if smoothed > EXPLODED * lowest:
                break
    if not losses:
        raise UserError(f"model '{parts.recipe.model}': its loss is not finite before any training: check its weights")
    return RangeTest(parts.recipe, steps, tuple(rates[: len(losses)]), tuple(losses))


class _Mean:
    """An exponential mean of the values that it is called with, corrected for its start, for a test of ``steps``."""

    def __init__(self, steps: int) -> None:
        self.decay = 1 - 1 / (MEAN * steps)
        self._sum = self._weight = 0.0

    def __call__(self, value: float) -> float:
        self._sum = self.decay * self._sum + (1 - self.decay) * value
        self._weight = self.decay * self._weight + (1 - self.decay)
        return self._sum / self._weight
