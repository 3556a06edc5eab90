"""The rows of ``thirtytwo runs list``: read, filtered, sorted, and cut to the columns that a terminal has room for."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from pathlib import Path
from types import NoneType
from typing import Any

from rich.cells import cell_len

from thirtytwo.cli.console import table_width
from thirtytwo.display import clock
from thirtytwo.errors import UserError, did_you_mean
from thirtytwo.evaluation.estimate import Estimate
from thirtytwo.paths import natural
from thirtytwo.recipe import Recipe, keys, resolve_key, takes
from thirtytwo.recipes import data_name, recipes
from thirtytwo.runs.run import Run
from thirtytwo.values import Values

COLUMNS = (
    "run", "state", "date", "data", "model", "seed", "epochs", "size", "parameters", "seconds", "val", "test", "looks",
)  # fmt: skip
"""What is known of every run. Keys of the recipe that differ between the runs are columns as well."""
SCORES = ("val", "test")
NUMERIC = ("epochs", "parameters", "seconds", *SCORES, "looks")
"""Columns that are flush right."""
IMPORTANCE = (
    "run", "val", "test", "differs", "state", "date", "seconds", "val interval", "test interval", "looks", "parameters",
)  # fmt: skip
"""Which columns a narrow terminal shows: the first ones that fit. "differs" are all that come from the recipe."""
NEVER_CUT = ("run", "date", "epochs", "size", "seed", "parameters", "seconds", "looks", *SCORES,
             *(f"{each} interval" for each in SCORES))  # fmt: skip
"""Columns of short texts, and the name, which is cut from its beginning."""
IN_COLUMNS = {"name": "run", "data.source": "data", "model": "model", "seed": "seed", "train.epochs": "epochs",
              "data.size": "size"}  # fmt: skip
"""Keys of the recipe that a column shows already."""


@dataclass(frozen=True)
class Row:
    """One run: its ``values`` by column, None where unknown, and its ``recipe`` by full key, empty if unreadable.

    ``wrong`` is the line that says why the run cannot be read; empty where it can.
    """

    values: Mapping[str, Any]
    recipe: Mapping[str, Any]
    wrong: str = ""

    def value(self, key: str) -> Any:
        """What ``key``, a column or a full key of the recipe, is for this run."""
        found = self.values[key] if key in self.values else self.recipe.get(key)
        return found.value if isinstance(found, Estimate) else max(found) if key == "size" and found else found

    def text(self, key: str) -> str:
        """The same as the table shows it; empty where it is not known."""
        if key in self.values:
            return cell(key, self.values[key])
        return cell(key, self.recipe[key]) if key in self.recipe else ""


def read(path: Path) -> Row:
    """What is known about one run; for a run that cannot be read, what is wrong with it, in short, is its state.

    Read are only files whose size doesn't grow with the data: a list of 500 runs takes half a second.
    """
    row: dict[str, Any] = {**dict.fromkeys(COLUMNS), "run": str(path)}
    recipe: dict[str, Any] = {}
    try:
        run = Run.open(path)
        status, state = run.status, run.standing
        row |= {"date": _date(status.get("started", "")), "seconds": status.get("seconds")}
        row["state"] = "imported" if state == "finished" and "imported" in run.env else state
        recipe = _flat(run.recipe)
        row |= {column: recipe[key] for key, column in IN_COLUMNS.items() if column not in ("run", "size")}
        row["data"] = data_name(recipe["data.source"])
        row |= run.accuracies()
        row["looks"] = len(run.looks())
        card, size = run.card, recipe["data.size"]
        row["size"] = card["size"] if card else (size, size) if size else None
        row["parameters"] = card["parameters"] if card else None
    except UserError as error:
        wrong = str(error)
        # The path is in the row already; the remedy is for those who open the run.
        row["state"] = re.split(r" \(|, ", wrong.removeprefix(str(path)).lstrip("/\\: "))[0]
        return Row(row, recipe, wrong)
    return Row(row, recipe)


def _flat(recipe: Recipe) -> dict[str, Any]:
    """The recipe's values by full key."""
    flat: dict[str, Any] = {}
    for name, value in recipe:
        flat |= {f"{name}.{key}": each for key, each in value} if isinstance(value, Values) else {name: value}
    return flat


def _date(started: str) -> str | None:
    """When a run began, in local time: ``2026-11-27 17:14``."""
    try:
        return datetime.fromisoformat(started).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError):
        return None


def differing(rows: Sequence[Row]) -> list[str]:
    """The keys of the recipe that were overridden in some run and are not the same in all, where no column has them.

    Overridden means other than in the recipe of that name; for a recipe of the user's own, than in the first run of it.
    """
    known = [row.recipe for row in rows if row.recipe]
    sources = {each["data.source"] for each in known}
    bases: dict[str, Mapping[str, Any]] = {}
    for each in known:
        name = each["name"]
        if name not in bases:
            bases[name] = _flat(recipes.build(name)) if name in recipes else each
    told = len({*map(data_name, sources)}) == len(sources)
    shown = {*IN_COLUMNS} - (set() if told else {"data.source"})
    differ = (key for key in keys() if key not in shown and any(each[key] != known[0][key] for each in known))
    return [key for key in differ if any(each[key] != bases[each["name"]][key] for each in known)]


# Filtering and sorting.

_EXPRESSION = re.compile(r"\s*([\w.]+)\s*(<=|>=|!=|=|<|>|~)\s*(.*?)\s*", re.DOTALL)
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d( \d\d:\d\d)?)?)?")
_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def filtered(rows: Sequence[Row], expressions: Iterable[str]) -> list[Row]:
    """The rows for which all ``expressions`` hold: ``seed=1``, ``augment~flip``, ``accuracy>0.9``.

    Raises UserError for an expression that cannot be read, or that compares what cannot be compared.
    """
    kept = list(rows)
    for text in expressions:
        match = _EXPRESSION.fullmatch(text)
        if match is None:
            raise UserError(f"--filter '{text}': expected KEY=VALUE, KEY~TEXT or KEY>NUMBER, such as 'accuracy>0.9'")
        key, sign, wanted = full_key(match[1], "--filter"), match[2], match[3]
        number = _number(wanted)
        _require_comparable(text, key, sign, wanted)
        if key in SCORES and number is not None and number > 1:
            raise UserError(f"--filter '{text}': an accuracy is a share of 1: {number / 100:g}, or {number:g}%")
        kept = [row for row in kept if _holds(row, key, sign, wanted, number)]
    return kept


def _require_comparable(text: str, key: str, sign: str, wanted: str) -> None:
    """Raise UserError if the filter ``text`` compares what cannot be compared. ~ takes any text."""
    kinds, equal, said = _kinds(key), sign in ("=", "!="), f"--filter '{text}': {key}"
    if sign == "~" or (equal and wanted == "none" and NoneType in kinds):
        return
    if kinds - {NoneType} <= {int, float}:
        if _number(wanted) is None and not (equal and key == "size" and re.fullmatch(r"\d+x\d+", wanted)):
            raise UserError(f"{said} is a number: compare it with one")
    elif key == "date":
        if not _DATE.fullmatch(wanted):
            raise UserError(f"{said} is compared with a date such as 2026-11, 2026-11-27 or 2026-11-27 17:14")
    elif not equal:
        raise UserError(f"{said} has no order: use =, != or ~")
    elif kinds == {bool} and wanted not in ("true", "false"):
        raise UserError(f"{said} is true or false")


def _kinds(key: str) -> set[Any]:
    """The types of the values of a column or key of the recipe."""
    of_recipe = {column: full for full, column in IN_COLUMNS.items()}
    if key in COLUMNS and key not in of_recipe:
        return {float} if key in NUMERIC else {str}
    return takes(of_recipe.get(key, key))


def _holds(row: Row, key: str, sign: str, wanted: str, number: float | None) -> bool:
    value, text = row.value(key), row.text(key)
    if not text:  # not known, whereas a key that is unset is "none"
        return False
    if sign == "~":
        return wanted.casefold() in text.casefold()
    if key == "date":  # as exact as it is asked for: a day, a month
        return _TESTS[sign](text[: len(wanted)], wanted)
    if number is not None and isinstance(value, int | float) and not isinstance(value, bool):
        return _TESTS[sign](value, number)
    return _TESTS[sign](text, wanted)


def _number(text: str) -> float | None:
    try:
        number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        return None
    return number if isfinite(number) else None


def ordered(rows: Sequence[Row], key: str | None) -> list[Row]:
    """The rows by name, or by ``key``, from the lowest value to the highest; with ``-key`` the other way round.

    Rows without a value are last.
    """
    by_name = sorted(rows, key=lambda row: natural(row.values["run"]))
    if key is None:
        return by_name
    full, backwards = full_key(key.removeprefix("-"), "--sort"), key.startswith("-")
    known = [row for row in by_name if row.value(full) is not None]
    known.sort(key=lambda row: _rank(row.value(full)), reverse=backwards)
    return known + [row for row in by_name if row.value(full) is None]


def _rank(value: Any) -> tuple[int, float, Any]:
    """Sort key by which numbers come before texts: a key may take both."""
    if isinstance(value, int | float):
        return 0, value, ""
    return 1, 0.0, natural(str(value))


def full_key(word: str, option: str) -> str:
    """The column or recipe key that ``word`` names; ``accuracy`` is that of val. Raises UserError for any other."""
    if word in COLUMNS or word == "accuracy":
        return "val" if word == "accuracy" else word
    try:
        return resolve_key(word)
    except UserError as error:
        if "ambiguous" in str(error):
            raise UserError(f"{option} {word}: {error}") from None
    known = {*COLUMNS, "accuracy", *(key.rpartition(".")[2] for key in keys())}
    raise UserError(f"{option} {word}: neither a column nor a recipe's key{did_you_mean(word, known)}")


# Columns.


def cell(key: str, value: Any) -> str:
    """A value as the table shows it; empty where nothing is known."""
    if isinstance(value, Estimate):
        return value.number()
    if value is None:
        return "" if key in COLUMNS else "none"
    if key == "seconds":
        return clock(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ("x" if key == "size" else ", ").join(f"{each:g}" for each in value)
    if isinstance(value, int | float):
        return f"{value:,}" if key == "parameters" else f"{value:.7g}"
    return str(value)


def columns(rows: Sequence[Row], differ: Sequence[str]) -> dict[str, list[str]]:
    """The whole table: for each column its cells, the keys that ``differ`` between model and seed."""
    found: dict[str, list[str]] = {}
    place = COLUMNS.index("seed")
    for key in (*COLUMNS[:place], *differ, *COLUMNS[place:]):
        found[key] = [row.text(key) for row in rows]
        if key in SCORES:
            found[f"{key} interval"] = [each.interval() if (each := row.values[key]) else "" for row in rows]
    return found


def title(column: str) -> str:
    """A column's heading: a recipe's key without its section where that is clear."""
    if column in SCORES:
        return f"{column} %"
    if column.endswith(" interval"):
        return "95 %"
    section, _, last = column.rpartition(".")
    clear = last not in COLUMNS and sum(key.endswith(f".{last}") for key in keys()) == 1
    return last if section and clear else column


def fitted(table: Mapping[str, list[str]], width: int) -> dict[str, list[str]]:
    """The columns that a terminal of this ``width`` has room for, the most important ones first, with long texts cut.

    Of those that are the same in every run, none takes the place of one that differs.
    """
    if table_width([_wide(column, cells) for column, cells in table.items()], GAP) <= width:
        return dict(table)
    alike = [column for column, cells in table.items() if len(set(cells)) < 2 and column not in ("run", "val")]
    rank = {each: place for place, each in enumerate(IMPORTANCE)}
    by_rank = sorted(table, key=lambda column: (column in alike, rank.get(column, rank["differs"])))
    most = {"run": max(width // 2, 10), **{each: max(width // 6, 10) for each in table if each not in NEVER_CUT}}
    cut = {
        column: [_cut(text, most[column], column == "run") for text in cells] if column in most else cells
        for column, cells in table.items()
    }
    taken: list[str] = []
    widths: list[int] = []
    for column in by_rank:
        wide = _wide(column, cut[column])
        if not taken or table_width([*widths, wide], GAP) <= width:
            taken.append(column)
            widths.append(wide)
    return {column: cut[column] for column in table if column in taken}


def left_out(table: Mapping[str, list[str]], shown: Mapping[str, list[str]]) -> list[str]:
    """The titles of the columns that are not ``shown``; an interval is named where its score is shown."""
    away = [column for column in table if column not in shown]
    parts = {f"{score} interval": score for score in SCORES}
    return [column if column in parts else title(column) for column in away if parts.get(column) not in away]


GAP = 2
"""Characters between two columns."""


def _wide(column: str, cells: Sequence[str]) -> int:
    return max(map(cell_len, (title(column), *cells)))


def _cut(text: str, most: int, keep_end: bool) -> str:
    """At most ``most`` characters of the text; of a path the end, which tells it from others."""
    if len(text) <= most:
        return text
    return f"…{text[1 - most :]}" if keep_end else f"{text[: most - 1]}…"
