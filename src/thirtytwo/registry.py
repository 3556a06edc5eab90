"""Components by name: register with a decorator, list with wildcards, build from a :class:`Spec`.

A family is many components behind one prefix, such as all networks of another package: ``torchvision/resnet18``.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, Generic, Protocol, TypeVar, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from thirtytwo.errors import UnknownName, UserError, did_you_mean, nearest
from thirtytwo.spec import Spec
from thirtytwo.words import plural

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Family(Protocol):
    """Components named elsewhere. Consulted when a name begins with the family's prefix, or resembles no other."""

    def names(self) -> list[str]:
        """The names in it, without the prefix; empty if they cannot be listed."""

    def get(self, name: str) -> Callable[..., Any]:
        """The factory called ``name``, given without the prefix. Raises KeyError if there is none."""


A = TypeVar("A", bound=type[Family])


class Registry(Generic[T]):
    """Named factories of one kind of component.

    Args:
        kind: what it holds, as messages call it ("model", "augmentation").
        package: the package whose modules register the built-in ones; imported at the first look-up,
            so that importing the registry costs nothing. None if they are defined next to the registry itself.
        context: parameters that the program supplies, not the user (image size, number of classes). A factory
            receives those that its signature names.
    """

    def __init__(self, kind: str, package: str | None = None, context: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self._package = package
        self._context = context
        self._factories: dict[str, Callable[..., T]] = {}
        self._families: dict[str, Family] = {}
        self._discovered = False

    def register(self, factory: F) -> F:
        """Decorator: register a function or class under its own name."""
        return self.register_as(factory.__name__)(factory)

    def register_as(self, name: str) -> Callable[[F], F]:
        """Decorator: register under ``name``. Raises UserError when another factory has that name already."""
        if not isinstance(name, str):
            raise UserError(f"register_as: needs the {self.kind}'s name, @register_as('name')")

        def add(factory: F) -> F:
            known = self._factories.get(name)
            if known is not None and (known.__module__, known.__qualname__) != (
                factory.__module__,
                factory.__qualname__,
            ):
                raise UserError(f"{self.kind} '{name}' exists already (in {known.__module__}): choose another name")
            self._factories[name] = factory
            return factory

        return add

    def register_family(self, prefix: str) -> Callable[[A], A]:
        """Decorator: register a `Family` class, whose names all begin with ``prefix`` (``torchvision/``).

        Raises UserError for a prefix that `Spec.prefix` would not find: it is a word with a slash or a colon.
        """
        if not prefix or Spec(prefix).prefix != prefix:
            raise UserError(f"'{prefix}' cannot be a family's prefix: use a word and a slash, such as package/")

        def add(family: A) -> A:
            self._families[prefix] = family()
            return family

        return add

    @contextmanager
    def temporary(self) -> Iterator[None]:
        """What is registered within this context is forgotten at its end, and what was there before is there again."""
        self._discover()  # what comes with the package is no part of what is forgotten
        factories, families = dict(self._factories), dict(self._families)
        try:
            yield
        finally:
            self._factories, self._families = factories, families

    def names(self, pattern: str = "*") -> list[str]:
        """Registered names that match a shell pattern such as ``resnet*``, sorted.

        A family's names are included if the pattern begins with its prefix: ``torchvision/resnet*``.
        """
        self._discover()
        family = self._family(pattern)
        known = self._factories if family is None else [Spec(pattern).prefix + name for name in family.names()]
        return sorted(name for name in known if fnmatchcase(name, pattern))

    def __iter__(self) -> Iterator[str]:
        """Registered names in the order of registration, without those of families."""
        self._discover()
        return iter([*self._factories])

    def __contains__(self, name: str) -> bool:
        """Whether ``name`` is registered, or begins with a family's prefix."""
        self._discover()
        return name in self._factories or self._family(name) is not None

    def get(self, name: str) -> Callable[..., T]:
        """The factory called ``name``; UserError with the nearest known name otherwise."""
        self._discover()
        prefix, family = Spec(name).prefix, self._family(name)
        if family is not None:
            try:
                return family.get(Spec(name).member)
            except KeyError:
                near = get_close_matches(name, [prefix + each for each in family.names()], n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"list the names with '{prefix}*'"
                raise UnknownName(f"unknown {self.kind} '{name}': {hint}") from None
        if name not in self._factories:
            known = [*self._factories, *(self._families if prefix else ())]
            hint = did_you_mean(name, known)
            if nearest(name, known) is None:
                there = [prefix for prefix, family in self._families.items() if _holds(family, name)]
                hint = (
                    f": did you mean '{there[0]}{name}'?" if there else f"{hint}. One of your own needs --import FILE"
                )
            raise UnknownName(f"unknown {self.kind} '{name}'{hint}")
        return self._factories[name]

    def summary(self, name: str) -> str:
        """First line of the factory's docstring."""
        return (inspect.getdoc(self.get(name)) or "").partition("\n")[0]

    def build(self, spec: Spec | str, **context: Any) -> T:
        """Build the component that ``spec`` names, its arguments checked against the factory's signature.

        Types and ``Annotated[int, Field(ge=1)]`` ranges are checked by pydantic. Raises UserError for an unknown
        name or argument, a missing argument, a wrong type and a value out of range.
        """
        spec = Spec.parse(spec) if isinstance(spec, str) else spec
        arguments = self.check(spec)
        factory = self.get(spec.name)
        given = {key: value for key, value in context.items() if key in inspect.signature(factory).parameters}
        return factory(**arguments, **given)

    def check(self, spec: Spec | str) -> Mapping[str, Any]:
        """The validated arguments of ``spec``, without building it. Raises UserError as `build` does."""
        spec = Spec.parse(spec) if isinstance(spec, str) else spec
        factory = self.get(spec.name)
        hints = get_type_hints(factory.__init__ if inspect.isclass(factory) else factory, include_extras=True)
        named = {
            name: parameter
            for name, parameter in inspect.signature(factory).parameters.items()
            if name not in self._context and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        }
        if len(spec.args) > len(named):
            raise UserError(
                f"{spec}: {self.kind} '{spec.name}' takes {plural(len(named), 'argument')}, not {len(spec.args)}"
            )
        given = dict(zip(named, spec.args, strict=False))
        for key, value in spec.kwargs.items():
            if key in given:
                raise UserError(f"{spec}: '{key}' is given twice")
            if key not in named:
                hint = did_you_mean(key, named) if named else ": it takes no arguments"
                raise UserError(f"{spec}: {self.kind} '{spec.name}' has no argument '{key}'{hint}")
            given[key] = value
        for name, parameter in named.items():
            if parameter.default is parameter.empty and name not in given:
                raise UserError(f"{spec}: {self.kind} '{spec.name}' needs its argument '{name}'")
        return {name: self._valid(spec, name, value, hints.get(name, Any)) for name, value in given.items()}

    @staticmethod
    def _valid(spec: Spec, name: str, value: Any, hint: Any) -> Any:
        try:
            return TypeAdapter(hint, config=ConfigDict(allow_inf_nan=False)).validate_python(value)
        except PydanticUserError:  # a dataclass or model has a configuration of its own
            return TypeAdapter(hint).validate_python(value)
        except ValidationError as error:
            raise UserError(f"{spec}: argument '{name}': {error.errors()[0]['msg']}") from None

    def _family(self, name: str) -> Family | None:
        """The family whose prefix ``name`` begins with, if any."""
        return self._families.get(Spec(name).prefix)

    def _discover(self) -> None:
        if self._discovered or self._package is None:
            return
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__, f"{self._package}."):
            importlib.import_module(module.name)
        self._discovered = True


def _holds(family: Family, name: str) -> bool:
    try:
        return name in family.names()
    except (UserError, ImportError, RuntimeError):  # its package is not installed, or does not work
        return False
