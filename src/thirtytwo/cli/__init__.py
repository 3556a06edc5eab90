"""The command line: a verb a file. Nothing here imports torch before a verb needs it."""

import sys
from importlib import import_module

from thirtytwo.errors import UserError

VERBS = ("train", "test", "predict", "report", "runs", "recipes", "model", "data", "info")
"""In the order in which ``--help`` lists them."""


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit code 2."""
    from typer import Abort
    from typer.exceptions import TyperException

    from thirtytwo.cli.app import app

    for verb in VERBS:
        import_module(f"thirtytwo.cli.{verb}")
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        _fail(str(error))
    except TyperException as error:
        _fail(f"{error.format_message()} (`thirtytwo --help` shows the verbs)")
    except (KeyboardInterrupt, Abort):
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> None:
    from thirtytwo.cli.console import errors

    errors.print("[red]error[/red]", message, highlight=False, markup=True, soft_wrap=True)
    sys.exit(2)
