"""Component specifications as text: ``translate(4)``, ``flip|translate(4)|cutout(8)``.

A specification is a name and literal arguments. It is parsed with :func:`ast.literal_eval`, so that no
text from a recipe can run code.
"""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from math import inf
from types import MappingProxyType
from typing import Any

from thirtytwo.errors import UserError, brief

RUN = "run:"
"""The prefix of a run: the rest is the path of its folder."""
OWN = "own:"
"""The prefix of what a Python program passed in as an object."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./:~\-]*")
_PREFIX = re.compile(r"[^/:(]*[/:]")
_VERBATIM = (RUN,)
"""Prefixes after which all of the text is the name, spaces and brackets included."""
LONGEST = 4000
"""Characters of a specification, or of a chain of them."""
DEEPEST = 20
"""Brackets inside each other. Python's own limit would end in RecursionError, perhaps in another place."""
LARGEST = 2**63
"""Whole numbers are below it in size: tensors, and TOML, hold no others."""
_WORDS = {"true": True, "false": False, "none": None}


@dataclass(frozen=True)
class Spec:
    """A component's name with its literal arguments; ``str(spec)`` is the text it came from.

    A name may begin with the prefix of a family: ``torchvision/resnet18`` and ``timm/resnet18`` name networks of
    other packages, ``run:runs/digits-cnn-1`` the network of a run.
    """

    name: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def parse(cls, text: str) -> "Spec":
        """Read ``name`` or ``name(1, key=2)``. Raises UserError naming the text if it is neither."""
        text = _plain(text)
        if cls(text).prefix in _VERBATIM:
            return cls(text)
        match = _NAME.match(text)
        if match is None:
            raise UserError(f"{brief(text)} is not a component: expected a name such as flip or translate(4)")
        name, rest = match.group(), text[match.end() :].strip()
        if not rest:
            return cls(name)
        try:
            call = ast.parse(f"_{rest}", mode="eval").body
            if not rest.startswith("(") or not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                raise ValueError
            kwargs = {}
            for keyword in call.keywords:
                if keyword.arg is None:
                    raise ValueError
                kwargs[keyword.arg] = _literal(keyword.value)
            return cls(name, tuple(_literal(arg) for arg in call.args), MappingProxyType(kwargs))
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            shown = text if len(text) < 200 else f"{text[:200]}..."
            raise UserError(
                f"cannot read '{shown}': expected a form such as {name}(4) or {name}(key='text'), with text in quotes "
                "and numbers of at most 64 bits"
            ) from None

    @property
    def prefix(self) -> str:
        """The family's prefix in the name, up to and including the first slash or colon (``timm/``); else empty."""
        found = _PREFIX.match(self.name)
        return found.group() if found else ""

    @property
    def member(self) -> str:
        """The name within the family: without the prefix."""
        return self.name.removeprefix(self.prefix)

    @property
    def run(self) -> str | None:
        """The path of the run that it names; None for anything else."""
        return self.member if self.prefix == RUN else None

    @property
    def foreign(self) -> bool:
        """Whether it names a network of another package, by a prefix with a slash."""
        return self.prefix.endswith("/")

    def __str__(self) -> str:
        shown = [repr(arg) for arg in self.args] + [f"{key}={value!r}" for key, value in self.kwargs.items()]
        return f"{self.name}({', '.join(shown)})" if shown else self.name


def parse_chain(text: str) -> tuple[Spec, ...]:
    """Read ``a|b(1)|c``; the empty text and ``none`` are the empty chain."""
    text = _plain(text)
    return () if text in ("", "none") else tuple(Spec.parse(part) for part in _split(text))


def _plain(text: str) -> str:
    """``text`` without spaces around it. Raises UserError if it is too long, or its brackets are nested too deep."""
    text = text.strip()
    deepest = max(accumulate((char in "([{") - (char in ")]}") for char in text), default=0)
    if len(text) > LONGEST or deepest > DEEPEST:
        too = f"{len(text):,} characters" if len(text) > LONGEST else f"brackets nested {deepest} deep"
        raise UserError(f"cannot read '{text[:40]}...': {too}: expected a form such as translate(4)")
    return text


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Name) and node.id.lower() in _WORDS:
        return _WORDS[node.id.lower()]
    for part in ast.walk(node):
        value = part.value if isinstance(part, ast.Constant) else None
        if isinstance(value, int | float) and not abs(value) < (LARGEST if isinstance(value, int) else inf):
            raise ValueError("too large")
    return ast.literal_eval(node)


def _split(text: str) -> list[str]:
    """Split at every ``|`` outside brackets and quotes."""
    parts, start, depth, quote = [], 0, 0, ""
    for i, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == "|" and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [*parts, text[start:]]
