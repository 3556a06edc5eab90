"""One table of the newest results of `make bench`: how many times the rate, or the time, of something else.

    python benchmarks/table.py

Trains and measures nothing. Prints Markdown and writes it to ``results/bench-<date>.md``.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any

from record import RESULTS, newest

Row = tuple[str, str, dict[str, float], int]
"""What, compared with what, the ratio with its interval, and over how many pairs."""


def plain_loop(found: dict[str, Any]) -> Iterator[Row]:
    """Images per second, ours by a plain loop's."""
    for what, pair in found.items():
        if isinstance(pair, dict) and "ratios" in pair:
            for side, times in pair["ratios"].items():
                yield f"{what}: {side}, images per second", "a plain loop", times, len(pair["rates"][side])


def frameworks(found: dict[str, Any]) -> Iterator[Row]:
    """Seconds of the whole command, theirs by ours."""
    for name, times in found["ratios"].items():
        yield "a folder, the whole command: shorter than", name, times, len(found["runs"][name])


def airbench(found: dict[str, Any]) -> Iterator[Row]:
    """Seconds of training to each one's own accuracy, theirs by ours."""
    ours = next(iter(found["summary"]))
    for name, times in found["ratios"].items():
        scores = [f"{found['summary'][side]['views']['mean']:.2f} %" for side in (ours, name)]
        yield (
            f"{ours}, training to {scores[0]}: shorter than",
            f"{name}, to {scores[1]}",
            times,
            len(found["runs"][name]),
        )


def augmentations(found: dict[str, Any]) -> Iterator[Row]:
    """Images per second, ours by theirs."""
    for name, pair in found["augmentations"].items():
        for side, times in pair["ratios"].items():
            yield f"`{name}`, images per second", side, times, len(pair["rates"][side])


def start(found: dict[str, Any]) -> Iterator[Row]:
    """Seconds of the whole command: the first time by the second."""
    for name, times in found["ratios"].items():
        yield (
            f"{name}, the whole command: shorter again than",
            "the first time",
            times,
            len(found["runs"][name]["again"]),
        )


ROWS = {
    "plain-loop": plain_loop,
    "frameworks": frameworks,
    "airbench-cifar10-fast": airbench,
    "augmentations": augmentations,
    "start": start,
}


def main() -> None:
    lines = ["| what | than | times | 95 % interval | n | date | processor | step rate, img/s |", "|" + "---|" * 8]
    for name, rows in ROWS.items():
        if (found := newest(name)) is None:
            lines.append(f"| {name} | not measured | | | | | | |")
            continue
        rates = found.get("step_rate", "")
        rate = f"{sum(rates) / len(rates):.0f}" if isinstance(rates, list) else f"{rates:.0f}" if rates else ""
        machine = f"{found['machine']['cores']} cores, {found['machine']['processor']}"
        for what, other, times, n in rows(found):
            interval = f"{times['low']:.2f} to {times['high']:.2f}" if n > 1 else ""
            cells = [what, other, f"{times['mean']:.2f}", interval, n, found["date"], machine, rate]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    text = "\n".join(lines) + "\n"
    path = RESULTS / f"bench-{date.today().isoformat()}.md"
    path.write_text(text, encoding="utf-8")
    print(f"{text}\n{path}")


if __name__ == "__main__":
    main()
