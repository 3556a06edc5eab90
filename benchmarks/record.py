"""What the benchmarks share: means and ratios with their intervals, and a file for each result."""

import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from thirtytwo.device import Device

RESULTS = Path(os.environ.get("RESULTS", Path(__file__).parent / "results"))


def summary(values: Sequence[float]) -> dict[str, float]:
    """Mean and the 95 % interval over seeds."""
    mean, n = float(np.mean(values)), len(values)
    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / n**0.5) if n > 1 else float("nan")
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n}


def ratio(over: Sequence[float], under: Sequence[float]) -> dict[str, float]:
    """How many times ``under`` is ``over``, pair by pair: geometric mean and the 95 % interval over the pairs (t)."""
    logs = summary([float(np.log(a / b)) for a, b in zip(over, under, strict=True)])
    return {key: float(np.exp(logs[key])) for key in ("low", "mean", "high")}


def shown(times: dict[str, float]) -> str:
    """A ratio with its interval, as text."""
    return f"{times['mean']:.2f} [{times['low']:.2f}, {times['high']:.2f}]"


def in_turns(sides: Collection[str], rounds: int) -> Iterator[str]:
    """The sides of a comparison, round after round, in every second round in the opposite order."""
    for turn in range(rounds):
        yield from sorted(sides, reverse=bool(turn % 2))


def per_second(
    act: Callable[[], object], seconds: float, *, warm: float = 0.0, wait: Callable[[], None] = lambda: None
) -> float:
    """How often ``act`` is done in a second, over ``seconds``; not counted are the first time, and ``warm`` seconds.

    ``wait`` returns when the device has done what it was asked to.
    """
    began = time.perf_counter()
    act()
    while time.perf_counter() - began < warm:
        act()
    wait()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        act()
        wait()
        count += 1
    return count / (time.perf_counter() - began)


def keep(name: str, found: dict[str, Any]) -> None:
    """Write what was found, with date and hardware, to ``results/<name>-<date>.json``, and print the path."""
    today = date.today().isoformat()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{today}.json"
    result = {"date": today, "machine": Device.choose().describe(), **found}
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(path)


def newest(name: str) -> dict[str, Any] | None:
    """The newest result of that name; None where there is none."""
    dated = "[0-9]" * 4 + "-[0-9][0-9]-[0-9][0-9]"
    found = sorted(RESULTS.glob(f"{name}-{dated}.json"))
    return json.loads(found[-1].read_text(encoding="utf-8")) if found else None
