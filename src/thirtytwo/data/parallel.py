"""A function of many pictures on all cores: in threads while little is left to do, else in processes. Without torch.

Pillow decodes without Python's lock, but a small picture is mostly Python: with 28 x 28 pixels, two threads took 340 us
for each, one 110, two processes 45.
"""

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from thirtytwo import cores
from thirtytwo.data.picture import BadPicture
from thirtytwo.errors import UserError

if TYPE_CHECKING:
    from loky.process_executor import ProcessPoolExecutor

T = TypeVar("T")
P = TypeVar("P")

BLOCK = 256
"""Pictures that threads work on at a time: at 224 x 224 RGB, 37 MiB of pixels."""
MOST = 16
"""Threads or processes."""
LONG = 2.0
"""Seconds of work from which processes pay: they start in 0.5 s."""
TASK = 0.05
"""Seconds of work that are handed to a process at a time, so that handing over costs little and progress is seen."""


def each(function: Callable[[P], T], items: Iterable[P], total: int) -> Iterator[T | BadPicture]:
    """``function`` of each of ``total`` items, in order, or the BadPicture that it raised.

    The first `BLOCK` are done by threads, before any is yielded: they show how long the rest will take. Processes
    import the module of ``function``, which should therefore need no torch. Raises UserError when one of them is
    killed.
    """
    items, workers = iter(items), min(MOST, cores.available())
    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as threads:
        # Parts of 16: one task per picture would cost as much as decoding a small one.
        first = list(_in_parts(threads, function, islice(items, BLOCK), 16, 16))
    seconds = (time.perf_counter() - start) / max(1, len(first))
    yield from first
    long = workers > 1 and seconds * (total - len(first)) > LONG
    if processes := _processes(workers) if long else None:
        part = min(BLOCK, max(1, round(TASK / seconds)))
        with _ended(processes):
            yield from _in_parts(processes, function, items, part, 2 * workers)
    else:
        with ThreadPoolExecutor(workers) as threads:
            yield from _in_parts(threads, function, items, 16, BLOCK // 16)


def blocks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """``items`` in lists of ``size``; the last one may be shorter."""
    items = iter(items)
    while block := list(islice(items, size)):
        yield block


def _in_parts(
    executor: Executor, function: Callable[[P], T], items: Iterable[P], size: int, ahead: int
) -> Iterator[T | BadPicture]:
    """Parts of ``size`` items, of which ``ahead`` are worked on or wait to be taken."""
    parts = blocks(items, size)
    pending = deque(executor.submit(_run, function, part) for part in islice(parts, ahead))
    try:
        while pending:
            results = pending.popleft().result()
            pending.extend(executor.submit(_run, function, part) for part in islice(parts, 1))
            yield from results
    finally:
        for future in pending:
            future.cancel()


def _run(function: Callable[[P], T], part: Sequence[P]) -> list[T | BadPicture]:
    results: list[T | BadPicture] = []
    for item in part:
        try:
            results.append(function(item))
        except BadPicture as error:
            results.append(error)
    return results


def _processes(workers: int) -> "ProcessPoolExecutor | None":
    """Fresh interpreters: a fork of torch's threads may hang, and the standard library's run the user's script.

    None where this process may have none (a worker of a DataLoader), would wait for them at its end (multiprocessing
    joins its children's children), or where the system has no shared memory for their locks.
    """
    if multiprocessing.parent_process() is not None:
        return None
    from loky import get_reusable_executor

    try:
        return get_reusable_executor(max_workers=workers, timeout=10, initializer=_end_with, initargs=(os.getpid(),))
    except OSError:
        return None


@contextmanager
def _ended(processes: "ProcessPoolExecutor") -> Iterator[None]:
    """Within this context a killed process is a UserError, and all of them end if this one is interrupted."""
    from loky.process_executor import TerminatedWorkerError

    try:
        yield
    except TerminatedWorkerError:
        raise UserError("a process that decodes pictures was killed: free some memory, and try again") from None
    except (KeyboardInterrupt, SystemExit):
        processes.shutdown(kill_workers=True)
        raise


def _end_with(parent: int) -> None:
    """End this process soon after the one that began it: if that is killed, loky's processes wait for ever.

    Ctrl-C reaches them all; it is for that process to say what becomes of these.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    Thread(target=watch, daemon=True).start()
