"""The command line, one file per verb. Nothing here imports torch before a verb needs it."""

import gc
import io
import logging
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from thirtytwo.errors import UserError

if TYPE_CHECKING:
    from typer.exceptions import TyperException

VERBS = (
    "train",
    "find_lr",
    "test",
    "predict",
    "explain",
    "report",
    "study",
    "compare",
    "runs",
    "recipes",
    "model",
    "data",
    "export",
    "import_",
    "bench",
    "info",
)
"""In the order in which ``--help`` lists them."""


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit code 2."""
    from typer import Abort
    from typer.exceptions import TyperException

    from thirtytwo.cli.app import app

    # Else Python looks for garbage 700 times while torch is imported, which takes 0.2 s and finds none.
    gc.set_threshold(20_000)
    _open_what_is_closed()
    signal.signal(signal.SIGTERM, _terminate)
    if logging.lastResort:  # prints log messages where a program has set up no logging
        logging.lastResort.setFormatter(logging.Formatter("warning: %(message)s"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a bar or a class name shows "?" in its place.
            stream.reconfigure(errors="replace")
    for verb in VERBS:
        import_module(f"thirtytwo.cli.{verb}")
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        _fail(str(error))
    except TyperException as error:
        if not error.format_message():  # no arguments: the help was shown
            sys.exit(2)
        _fail(f"{error.format_message().replace('Value error, ', '', 1)} ({_hint(error)})")
    except (KeyboardInterrupt, Abort):
        sys.exit(130)
    except OSError as error:
        reason = error.strerror or str(error)
        _fail(f"{error.filename}: {reason}" if error.filename else reason)
    except Exception as error:
        from thirtytwo.imports import blamed

        if said := blamed(error):
            _fail(said)
        raise
    sys.exit(code if isinstance(code, int) else 0)


def _open_what_is_closed() -> None:
    """Let a standard stream that the caller closed (``>&-``) lead nowhere.

    Python has None in its place, and the next file that is opened would get its number, which other processes inherit.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115  (no path, and stays open)
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def _hint(error: "TyperException") -> str:
    """What to do about a mistake in the command line's words."""
    verb = getattr(getattr(error, "ctx", None), "info_name", "")
    if verb in ("train", "find-lr") and error.format_message().startswith("No such option"):
        from thirtytwo.recipe import resolve_key

        with suppress(UserError):
            key = resolve_key(getattr(error, "option_name", "").lstrip("-").replace("-", "_"))
            return f"a recipe's keys have no dashes: {key}=..."
    names: list[str] = []
    context = getattr(error, "ctx", None)
    while context is not None and context.parent is not None:
        names.insert(0, context.info_name)
        context = context.parent
    if not names:
        return "`thirtytwo --help` shows the verbs"
    return f"`thirtytwo {' '.join(names)} --help` says what it takes"


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Unwind as Ctrl-C does, so that locks are released and temporary files are deleted."""
    sys.exit(128 + number)


def _fail(message: str) -> NoReturn:
    from rich.text import Text

    from thirtytwo.cli.console import errors, one_line

    errors.print(Text.assemble(("error", "red"), " ", one_line(message)))
    sys.exit(2)
