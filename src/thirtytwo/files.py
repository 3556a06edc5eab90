"""Write files completely or not at all, CSV among them, hash them, and read JSON with checks. Needs no NumPy."""

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thirtytwo.errors import UserError

JSON_ERRORS = (OSError, ValueError, RecursionError)
"""What reading a damaged JSON file raises."""
DEEPEST = 50
"""Levels of lists and objects inside each other. Python's own limit would end in RecursionError, perhaps only when the
value is written again."""


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, sync it and rename it: readers see the old file or the new one.

    Raises UserError when the disk is full or the folder is not writable.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        remedy = "free some space, or change its permissions" if path.parent.is_dir() else "make its folder first"
        raise UserError(f"{path}: cannot be written ({error.strerror}): {remedy}") from None


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows by column name; the columns are in the order of their first use, and empty where a row lacks one."""
    buffer = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(buffer, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, buffer.getvalue().encode())


def sha256(data: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(data).hexdigest()


def parse_json(text: bytes) -> Any:
    """The value of a JSON text. Raises ValueError for one whose brackets are nested deeper than `DEEPEST`."""
    if text.count(b"[") + text.count(b"{") > DEEPEST:
        depth = 0
        for bracket in re.findall(rb'"(?:[^"\\]|\\.)*"|[\[{\]}]', text):
            depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(bracket, 0)
            if depth > DEEPEST:
                raise ValueError(f"its brackets are nested more than {DEEPEST} deep")
    return json.loads(text)


def read_json(path: Path) -> Any:
    """The value in a JSON file. Raises UserError naming the file when it cannot be read as one."""
    try:
        return parse_json(path.read_bytes())
    except JSON_ERRORS as error:
        raise UserError(f"{path}: damaged, cannot be read as JSON ({_one_line(error)}): restore it") from None


def read_json_lines(path: Path) -> list[Any]:
    """The values in a file of one JSON value per line. A last line that a kill cut short is left out.

    Raises UserError naming the file when it cannot be read as such.
    """
    try:
        *whole, _cut = path.read_bytes().split(b"\n")
        return [parse_json(line) for line in whole if line]
    except JSON_ERRORS as error:
        raise UserError(f"{path}: damaged, cannot be read as JSON lines ({_one_line(error)}): restore it") from None


def _one_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
