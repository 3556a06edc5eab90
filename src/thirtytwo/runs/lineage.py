"""Where a run comes from: its data, its machine, and what the runs that it learns from were trained on."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from thirtytwo.errors import UserError
from thirtytwo.recipe import Recipe
from thirtytwo.records import Env, SplitRecord
from thirtytwo.runs.run import Run
from thirtytwo.spec import Spec
from thirtytwo.version import __version__
from thirtytwo.words import plural

if TYPE_CHECKING:  # reports, which need no torch, read what is written here
    from thirtytwo.models.network import Origin

log = logging.getLogger("thirtytwo")

SCORED = ("val", "test")


def seen_before(runs: Iterable[Run], record: SplitRecord) -> dict[str, int] | None:
    """Count the new run's val and test images that ``runs``, or the runs that these learned from, were trained on.

    An image is identified by its content before it was resized, so that neither another size nor another folder hides
    anything; for runs that recorded none, by its position in the set that its source reads, and the set by the order of
    its labels and file names (`ImageSet.order_hash`).

    Args:
        runs: what the new run learns from.
        record: the new run's splits, as `Splits.record` has them.

    Returns the counts above 0 by split, "val" and "test"; None where they are unknown, because the source of that name
    then had other images, or another order of them, and the cut differs.
    """
    content: set[str] = set()
    learned: set[tuple[str, int]] = set()
    changed = False
    for run in _with_ancestors(runs):
        theirs = run.split
        if theirs is None or all(theirs["sha256"][split] == record["sha256"][split] for split in SCORED):
            continue  # the same cut, so val and test were not trained on
        if "content" in theirs:
            content.update(_digests(theirs["content"]["train"]))
            if theirs.get("version", 1) == record.get("version", 1):
                continue  # else large pictures have another content, and are known by their places
        order = theirs.get("orders", {}).get(theirs.get("cut_from", {}).get("train", ""), "")
        if order in record["orders"].values():
            learned.update((order, position) for position in theirs["ids"]["train"])
        elif theirs["name"] == record["name"]:
            changed = True
    counts = {}
    for split in SCORED:
        order = record["orders"][record["cut_from"][split]]
        images = zip(record["ids"][split], _digests(record["content"][split]), strict=True)
        counts[split] = sum((order, position) in learned or digest in content for position, digest in images)
    found = {split: count for split, count in counts.items() if count}
    return None if changed and not found else found


def _digests(content: str) -> list[str]:
    return [content[i : i + 16] for i in range(0, len(content), 16)]


def said(seen: Mapping[str, int] | None, sizes: Mapping[str, int]) -> str:
    """``262 of the 360 images of test``, for use in a sentence."""
    if seen is None:
        return "earlier images of this source, perhaps on some"
    return " and ".join(f"{count:,} of the {plural(sizes[split], 'image')} of {split}" for split, count in seen.items())


def _with_ancestors(runs: Iterable[Run]) -> Iterator[Run]:
    """Each of ``runs``, and what they learned from as far as it still exists, once."""
    waiting, known = list(runs), set()
    while waiting:
        run = waiting.pop()
        if run.path.resolve() in known:
            continue
        known.add(run.path.resolve())
        yield run
        with suppress(UserError):  # damaged
            waiting += _parents(run.env)


def _parents(env: Env) -> Iterator[Run]:
    """The runs that env.json names, as far as they are intact and still have the same weights."""
    named = ((env.get("teacher"), env.get("teacher_sha256")), (env.get("weights"), env.get("weights_sha256")))
    for path, then in named:
        if path is not None and Path(path).is_dir():  # weights may also be a file
            with suppress(UserError):
                run = Run.open(Path(path))
                if run.split and run.require_trained()["sha256"] == then:
                    yield run


def learned_from(recipe: Recipe, origin: "Origin | None", teacher: Run | None, record: SplitRecord) -> dict[str, Any]:
    """What env.json says about the teacher and the first weights: where they are, their hashes, what they have seen.

    Args:
        recipe: of the new run.
        origin: where the network's first weights come from; None for random ones.
        teacher: the run that it learns from, if any.
        record: the new run's splits, as `Splits.record` has them.

    A warning says how many of the images that the new run is scored on were trained on before.
    """
    found: dict[str, Any] = {} if origin is None else asdict(origin)
    runs = [Run.open(Path(origin.weights))] if origin and Spec.parse(recipe.model).run else []
    if teacher:
        found |= {"teacher": str(teacher.path.resolve()), "teacher_sha256": teacher.require_trained()["sha256"]}
        runs.append(teacher)
    seen = seen_before(runs, record)
    if seen != {}:
        log.warning(
            "%s: trained on %s that this run is scored on: set data.keep_split to that run, or give all trainings the "
            "same data and cut (plan, val, test, split_seed)",
            " and ".join(sorted({str(run.path) for run in runs})), said(seen, record["sizes"]),
        )  # fmt: skip
        found["seen_before"] = seen
    return found


def write_origins(
    run: Run, record: SplitRecord, machine: Mapping[str, Any], imports: Sequence[Path], **more: Any
) -> None:
    """Record which images a new run uses and what it runs on.

    Args:
        run: the new run.
        record: its splits, as `Splits.record` has them.
        machine: where it computes, as `Device.describe` has it.
        imports: the user's files that registered components.
        **more: further entries of env.json.
    """
    run.write_split(record)
    own = {"imports": [str(file.resolve()) for file in imports]} if imports else {}
    run.write_env({"thirtytwo": __version__, **machine, **own, **more})


def require_same_weights(run: Run, what: str, key: Literal["teacher_sha256", "weights_sha256"], now: str) -> None:
    """Raise UserError when the weights' sha256 is not what env.json says under ``key``."""
    then = run.env.get(key)
    if then is None:
        log.warning("%s: its %s was not recorded when it began: %s may have changed", run.path, key, what)
    elif then != now:
        raise UserError(
            f"{run.path}: {what} is not the one that it started from (sha256 {now[:12]}, not {then[:12]}): "
            "restore the old weights, or train again"
        )
