"""A score with its 95 % interval, and how both are written: decimals, signs and brackets are decided here alone.

Needs neither NumPy nor SciPy, so that showing scores does not wait for them.
"""

from dataclasses import dataclass
from math import isfinite, isnan, nan, sqrt
from operator import index
from typing import TYPE_CHECKING

from thirtytwo.errors import UserError

if TYPE_CHECKING:
    import numpy as np

Z = 1.959963984540054
"""The standard normal's 97.5 % point: every interval here holds 95 %."""
LARGEST = 1e38
"""The largest value of a score."""
MOST = 2**53
"""The largest n."""
FINE = 2000
"""From this many images on, an interval is narrow enough for a second decimal of the percentage."""


@dataclass(frozen=True)
class Estimate:
    """A score and its 95 % interval.

    Attributes:
        value: the score on these images; nan when there was nothing to measure (``n`` is 0).
        low: the interval's lower end; nan where nothing is known about the spread.
        high: the upper end, likewise.
        n: how many images (or, for a class, how many of them; over seeds, how many seeds) the score is a mean over.

    The methods that format it take the score's ``unit``: "%" for a fraction of 1 that is shown in percent, or another
    unit's name. ``fine`` asks for two decimals of a percentage, by default from `FINE` images on. ``sign`` is "+" where
    positive numbers get a sign too.

    >>> from thirtytwo import Estimate
    >>> accuracy = Estimate(value=0.989, low=0.972, high=0.996, n=360)
    >>> accuracy.quantity(), accuracy.interval()
    ('98.9 %', '[97.2, 99.6]')
    """

    value: float
    low: float
    high: float
    n: int

    def checked(self, what: str) -> "Estimate":
        """The same with plain numbers. Raises UserError, naming ``what``, unless a file can hold them.

        Those are numbers within float32's range, or not finite, with low <= value <= high, and a count from 0 up.
        """
        try:
            value, low, high, n = float(self.value), float(self.low), float(self.high), index(self.n)
        except (TypeError, ValueError, OverflowError):
            raise UserError(f"{what}: its value, interval and n must be numbers, not {self!r}") from None
        if low > value or value > high:
            raise UserError(f"{what}: its interval [{low:g}, {high:g}] does not hold its value {value:g}")
        if any(isfinite(each) and abs(each) > LARGEST for each in (value, low, high)) or not 0 <= n <= MOST:
            raise UserError(f"{what}: {self!r} is out of range: values up to {LARGEST:g}, n from 0 up")
        return Estimate(value, low, high, n)

    def number(self, unit: str = "%", *, fine: bool | None = None, sign: str = "") -> str:
        """``98.9``, or ``0.0412`` in a unit other than percent; a dash for nan."""
        return number(self.value, unit, fine=self._fine(fine), sign=sign)

    def quantity(self, unit: str = "%", *, fine: bool | None = None) -> str:
        """`number` with its unit: ``98.9 %``, ``0.0412 nats``."""
        return quantity(self.value, unit, fine=self._fine(fine))

    def interval(self, unit: str = "%", *, fine: bool | None = None, sign: str = "") -> str:
        """``[97.2, 99.6]``; empty where the value or the interval is nan."""
        if isnan(self.value) or isnan(self.low):
            return ""
        low, high = (number(end, unit, fine=self._fine(fine), sign=sign) for end in (self.low, self.high))
        return f"[{low}, {high}]"

    def spread(self, unit: str = "%", *, fine: bool | None = None) -> str:
        """``± 0.39``, half the interval's width; empty where `interval` is."""
        if isnan(self.value) or isnan(self.low):
            return ""
        return f"± {number((self.high - self.low) / 2, unit, fine=self._fine(fine))}"

    def _fine(self, asked: bool | None) -> bool:
        return self.n >= FINE if asked is None else asked


def number(value: float, unit: str = "%", *, fine: bool = False, sign: str = "") -> str:
    """A score without its unit: a percentage with one decimal, or two where ``fine``, another unit with four."""
    if isnan(value):
        return "–"
    decimals = 4 if unit != "%" else 2 if fine else 1
    return f"{scale(unit) * value:{sign}.{decimals}f}"


def quantity(value: float, unit: str = "%", *, fine: bool = False) -> str:
    """`number` with its unit, where it has one: ``98.9 %``, ``0.0412 nats``; a dash for nan."""
    return number(value, unit, fine=fine) + (f" {unit}" if unit and not isnan(value) else "")


def scale(unit: str) -> int:
    """What a score is multiplied by to be shown in its unit."""
    return 100 if unit == "%" else 1


def titled(title: str, unit: str = "%", *, capital: bool = True) -> str:
    """The heading of a column of numbers: ``Accuracy, %``, ``Brier score``; with ``capital`` it begins with one."""
    return f"{title[:1].upper() if capital else title[:1]}{title[1:]}{f', {unit}' if unit else ''}"


def points(unit: str) -> str:
    """The unit of a difference: percentages differ by percentage points."""
    return "percentage points" if unit == "%" else unit


def wilson(successes: float, n: float) -> Estimate:
    """The share ``successes / n`` with Wilson's score interval (Wilson 1927), which never leaves [0, 1].

    Both may be effective numbers, of weighted images. With ``n`` = 0 nothing is known: the value is nan, the interval
    [0, 1].
    """
    if n == 0:
        return Estimate(nan, 0.0, 1.0, 0)
    share = successes / n
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Estimate(share, low, high, int(n))


def normal_mean(values: "np.ndarray") -> Estimate:
    """The mean of float (N,) with its normal interval: ``1.96 s / sqrt(N)`` to either side.

    Where no value is below 0, neither is the interval.
    """
    n = len(values)
    if n == 0:
        return Estimate(nan, nan, nan, 0)
    mean = float(values.mean())
    half = Z * float(values.std(ddof=1)) / sqrt(n) if n > 1 else nan
    low = max(0.0, mean - half) if values.min() >= 0 else mean - half
    return Estimate(mean, low, mean + half, n)
