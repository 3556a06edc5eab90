"""Typed values whose mistakes are one line: what recipes and studies are made of. Never imports torch."""

import re
from typing import TYPE_CHECKING, Any, get_args

from pydantic import AfterValidator, BaseModel, ValidationError

from thirtytwo.errors import UserError, brief, did_you_mean

if TYPE_CHECKING:  # pydantic's metaclass has no public name
    from pydantic._internal._model_construction import ModelMetaclass
    from pydantic_core import ErrorDetails
else:
    ModelMetaclass = type(BaseModel)


def name_of(marks: str, most: int) -> AfterValidator:
    """For text that names folders and columns: letters, digits and ``marks``, at most ``most`` of them."""
    pattern = re.compile(f"[A-Za-z0-9][A-Za-z0-9{re.escape(marks)}]{{0,{most - 1}}}")

    def checked(name: str) -> str:
        if not pattern.fullmatch(name):
            raise ValueError(
                f"expected at most {most} letters, digits and signs of '{marks}', without accents, of which the first "
                "is a letter or a digit"
            )
        return name

    return AfterValidator(checked)


class _OneLine(ModelMetaclass):
    """Of classes whose constructor raises a UserError of one line on the first mistake in its arguments."""

    def __call__(cls, **values: Any) -> Any:
        try:
            return super().__call__(**values)
        except ValidationError as error:
            raise _mistake(error, cls) from None


class Values(BaseModel, metaclass=_OneLine):
    """Typed values. Their constructor raises a UserError of one line on the first mistake."""

    @classmethod
    def unknown(cls, key: str) -> UserError:
        """The error for a key that is none of the fields."""
        return UserError(f"unknown key '{key}'{did_you_mean(key, cls.model_fields)}")


def _mistake(error: ValidationError, kind: Any) -> UserError:
    """The first mistake in the values of ``kind``, a class with fields."""
    # A union field reports each of its types; the last message is about the most general one.
    found = error.errors()
    # A key that is misspelled is often why another is missing.
    first = next((each for each in found if each["type"] == "extra_forbidden"), found[0])
    # Of a key that may be of several types, the value is of the type in which the mistake lies deepest.
    first = max((each for each in found if each["loc"][:2] == first["loc"][:2]), key=lambda each: len(each["loc"]))
    if first["type"] == "missing" and isinstance(first["loc"][-1], int):
        first |= {"type": "too_long", "loc": first["loc"][:-1]}  # a list of another length, as one with too many
    key = ".".join(str(part) for part in first["loc"] if not re.search(r"constrained|function|\[", str(part)))
    key = re.sub(r"\.(float|int)$", "", key)
    if first["type"] == "extra_forbidden":
        unknown: UserError = kind.unknown(key)
        return unknown
    told = first["input"] if first["type"] not in ("missing", "too_short") else {}
    given = "" if isinstance(told, dict) else f", not {brief(told)}"
    if first["type"] in _SAID:
        message = _SAID[first["type"]].format(**first.get("ctx", {})) + _example(kind, first)
    else:
        message = first["msg"].removeprefix("Value error, ")
    return UserError(f"key '{key}': {message[0].lower()}{message[1:]}{given}")


_SAID = {
    "tuple_type": "expected a list",
    "dict_type": "expected a table of keys",
    "model_type": "expected a table of keys",
    "too_long": "expected a list",
    "too_short": "expected at least {min_length}, not {actual_length}",
    "string_type": "expected text",
    "string_too_short": "expected text",
    "string_too_long": "expected at most {max_length} characters",
    "bool_type": "expected true or false",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "missing": "is missing",
}
"""What pydantic says in Python's words, in TOML's, by the type of the mistake."""


def _example(kind: Any, mistake: "ErrorDetails") -> str:
    """``" of 2, such as [0.9, 0.999]"``, where a list is expected: its length, if it has one, and the field's default.

    The field is in ``kind`` or a section of it.
    """
    if mistake["type"] not in ("tuple_type", "too_long"):
        return ""
    *sections, last = mistake["loc"]
    for name in sections:
        kind = kind.model_fields[name].annotation
    field = kind.model_fields[last]
    parts = get_args(field.annotation)
    length = "" if Ellipsis in parts else f" of {len(parts)}"
    return f"{length}, such as {list(field.default)}"
