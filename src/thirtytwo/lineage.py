"""What the runs that a run learns from, as a teacher or as first weights, were trained on."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from thirtytwo.errors import UserError
from thirtytwo.run import Run

SCORED = ("val", "test")


def seen_before(runs: Iterable[Run], record: Mapping[str, Any]) -> dict[str, int] | None:
    """How many of the images that a new run is scored on were trained on by ``runs``, or by what these learned from.

    An image is told by its position in the set that its source reads, and the set by the order of its labels and file
    names (`ImageSet.order_hash`): so that another size, or grey for colour, hides nothing.

    Args:
        runs: what the new run learns from.
        record: the new run's splits, as `Splits.record` has them.

    Returns the number by split, "val" and "test", where there are any; None where it cannot be told, since the source
    of that name had other images then, or another order of them, and the cut is another.
    """
    learned: set[tuple[str, int]] = set()
    changed = False
    for run in _with_ancestors(runs):
        theirs = run.split
        if all(theirs.get("sha256", {}).get(split) == record["sha256"][split] for split in SCORED):
            continue  # the same cut, of which train is no part
        order = theirs.get("orders", {}).get(theirs.get("cut_from", {}).get("train"))
        if order in record["orders"].values():
            learned.update((order, position) for position in theirs["ids"]["train"])
        elif theirs.get("name") == record["name"]:
            changed = True
    counts = {}
    for split in SCORED:
        order = record["orders"][record["cut_from"][split]]
        counts[split] = sum((order, position) in learned for position in record["ids"][split])
    found = {split: count for split, count in counts.items() if count}
    return None if changed and not found else found


def said(seen: Mapping[str, int] | None, sizes: Mapping[str, int]) -> str:
    """``262 of the 360 images of test``, for a sentence."""
    if seen is None:
        return "earlier images of this source, perhaps on some"
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
        with suppress(UserError):  # damaged
            waiting += _parents(run.env)


def _parents(env: Mapping[str, Any]) -> Iterator[Run]:
    """The runs that env.json names, as far as they are whole and have the weights that they had."""
    for key in ("teacher", "weights"):
        path = env.get(key)
        if path is not None and Path(path).is_dir():  # weights may be a file's
            with suppress(UserError):
                run = Run.open(Path(path))
                if run.split and run.card.get("sha256") == env.get(f"{key}_sha256"):
                    yield run
