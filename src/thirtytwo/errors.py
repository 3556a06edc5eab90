"""The one exception for users' mistakes, and the "did you mean" that its messages share."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A mistake of the user's, in one line that names the input and the remedy.

    The command line prints the line and exits with code 2; Python callers catch it like any exception.

    >>> import thirtytwo
    >>> thirtytwo.train("digits-cn")
    Traceback (most recent call last):
    thirtytwo.errors.UserError: unknown recipe 'digits-cn': did you mean 'digits-cnn'?
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class UnknownName(UserError):
    """A component that is not registered under this name."""


def brief(value: object, most: int = 100) -> str:
    """A value as Python writes it, for a message: cut where it is long, its type alone where it cannot be written."""
    try:
        text = repr(value[:most] if isinstance(value, str) else value)
    except (ValueError, RecursionError):  # a whole number of thousands of digits, lists nested as deep
        return f"this {type(value).__name__}"
    return text if len(text) <= most + 2 else f"{text[:most]}..."


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name in ``known`` that is closest to ``name``; None if none is close."""
    return next(iter(get_close_matches(name, sorted(known), n=1, cutoff=0.6)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``": did you mean 'flip'?"``, or a list of what is known if nothing is close."""
    known = sorted(known)
    if close := nearest(name, known):
        return f": did you mean '{close}'?"
    return f". Known: {', '.join(known)}" if known else ""
