"""Progress of what takes long besides a training's steps: on stderr if it is a terminal, and cleared when done."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

T = TypeVar("T")


def bar(*columns: "ProgressColumn") -> "Progress":
    """A rich progress display with the time left; ``columns`` show how much is done."""
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(20),
        *columns,
        progress.TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Within this context a sign of life says ``what`` is being done, where nothing can be counted."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


def counted(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """``items``, while a bar counts how many of ``total`` have gone by."""
    from rich.progress import MofNCompleteColumn

    with bar(MofNCompleteColumn()) as shown:
        yield from shown.track(items, total=total, description=what)
