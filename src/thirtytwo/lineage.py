"""What the runs that a run learns from, as a teacher or as first weights, were trained on."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from thirtytwo.errors import UserError
from thirtytwo.run import Run


def seen_before(runs: Iterable[Run], record: Mapping[str, Any], source: str | None) -> dict[str, int]:
    """How many of the images that a new run is scored on were trained on by ``runs``, or by what these learned from.

    Args:
        runs: what the new run learns from.
        record: the new run's splits, as `Splits.record` has them.
        source: the path of its data, where it is one.

    Returns the number by split, "val" and "test", where there are any. Images are told by their positions in the set
    that their source reads, so that another size, or grey for colour, hides nothing.
    """
    learned: set[tuple[str, int]] = set()
    for run in _with_ancestors(runs):
        theirs = run.split
        if theirs.get("name") == record["name"] and not _elsewhere(run.env.get("source"), source):
            learned.update((theirs["cut_from"]["train"], position) for position in theirs["ids"]["train"])
    counts = {
        split: sum((record["cut_from"][split], position) in learned for position in record["ids"][split])
        for split in ("val", "test")
    }
    return {split: count for split, count in counts.items() if count}


def said(seen: Mapping[str, int], sizes: Mapping[str, int]) -> str:
    """``262 of the 360 images of test``, for a sentence."""
    return " and ".join(f"{count:,} of the {sizes[split]:,} images of {split}" for split, count in seen.items())


def _with_ancestors(runs: Iterable[Run]) -> Iterator[Run]:
    """Each of them, and what they learned from as far as it is still there, once."""
    waiting, known = list(runs), set()
    while waiting:
        run = waiting.pop()
        if run.path.resolve() in known:
            continue
        known.add(run.path.resolve())
        yield run
        for path in (run.env.get("teacher"), run.env.get("weights")):
            if path and Path(path).is_dir():  # weights may be a file's
                with suppress(UserError):
                    waiting.append(Run.open(Path(path)))


def _elsewhere(then: str | None, now: str | None) -> bool:
    """Whether two paths are two sets of images, rather than one that was moved."""
    return bool(then and now and then != now and Path(then).exists())
