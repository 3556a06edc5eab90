"""The user's own Python files, run so that what they register can be found by name."""

import importlib.util
import os
import re
import sys
import traceback
import zlib
from pathlib import Path

from thirtytwo.errors import UserError

PREFIX = "imported_"
"""How the names of their modules begin."""


def run_file(file: Path) -> None:
    """Run one file as a module, whose name is unique to the file and the same each time.

    Raises UserError if the file cannot be found, or raises an exception, with the line at which it failed.
    """
    place = zlib.crc32(os.fsencode(file.resolve()))
    name = f"{PREFIX}{re.sub(r'[^0-9A-Za-z_]', '_', file.stem)}_{place:08x}"
    spec = importlib.util.spec_from_file_location(name, file)
    if not file.is_file() or spec is None or spec.loader is None:
        raise UserError(f"--import {file}: no such Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # The file may import its neighbours. Being last on the path, they hide no installed module.
    folder = str(file.resolve().parent)
    sys.path.append(folder)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's code may raise anything
        raise UserError(f"--import {file}: {_what_happened(error, spec.origin)}") from error
    finally:
        sys.path.remove(folder)


def blamed(error: BaseException) -> str | None:
    """The line of a user's file in which an exception arose, and what it says; None where no such file was running."""
    frames = [(frame.f_globals.get("__name__", ""), frame.f_code.co_filename, line) for frame, line in
              traceback.walk_tb(error.__traceback__)]  # fmt: skip
    own = [(file, line) for name, file, line in frames if str(name).startswith(PREFIX)]
    return f"{own[-1][0]}, line {own[-1][1]}: {type(error).__name__}: {error}" if own else None


def _what_happened(error: Exception, origin: str | None) -> str:
    """The line of the user's file at which ``error`` arose, and what it says."""
    if isinstance(error, SyntaxError):
        where = "" if error.filename == origin else f"{error.filename}, "
        return f"{where}line {error.lineno}: {error.msg}"
    says = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == origin]
    return f"line {lines[-1]}: {says}" if lines else says
