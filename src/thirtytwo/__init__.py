"""Train, compare and explain small-image classifiers: CIFAR-10, MNIST, or a folder of your own pictures.

>>> import thirtytwo
>>> run = thirtytwo.train("digits-cnn", epochs=3)
>>> run.scores("test")["accuracy"]
Estimate(value=0.9..., low=..., high=0.9..., n=360)
>>> print(run.predict("val:712")[0])  # or a picture of yours: run.predict("seven.png")
val-712: 6 (...%)
"""

from typing import TYPE_CHECKING, Any

from thirtytwo.version import __version__

if TYPE_CHECKING:
    from thirtytwo.api import (
        Answer,
        StudyResult,
        TrainedRun,
        find_lr,
        import_run,
        open_run,
        open_study,
        run_study,
        train,
    )
    from thirtytwo.errors import UserError
    from thirtytwo.recipe import Recipe

_HOMES = {
    "Answer": "thirtytwo.api",
    "Recipe": "thirtytwo.recipe",
    "StudyResult": "thirtytwo.api",
    "TrainedRun": "thirtytwo.api",
    "UserError": "thirtytwo.errors",
    "find_lr": "thirtytwo.api",
    "import_run": "thirtytwo.api",
    "open_run": "thirtytwo.api",
    "open_study": "thirtytwo.api",
    "run_study": "thirtytwo.api",
    "train": "thirtytwo.api",
}

__all__ = [
    "Answer",
    "Recipe",
    "StudyResult",
    "TrainedRun",
    "UserError",
    "__version__",
    "find_lr",
    "import_run",
    "open_run",
    "open_study",
    "run_study",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name at its first use, so that ``import thirtytwo`` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'thirtytwo' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
