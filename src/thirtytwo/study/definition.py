"""A study's definition: a base recipe x named overrides x seeds, as one typed value. Never imports torch."""

from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import ConfigDict, Field, field_validator

from thirtytwo import recipes, toml
from thirtytwo.errors import UserError
from thirtytwo.recipe import Recipe, parse_value, resolve_key
from thirtytwo.values import Values, name_of

_Seed = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
ArmName = Annotated[str, name_of("._+-", 60)]


class Study(Values):
    """Arms, each a recipe, that are trained with the same seeds and compared.

    >>> from thirtytwo import Study
    >>> study = Study(name="mirror", base="digits-cnn", arms={"plain": {}, "mirror": {"augment": "flip"}})
    >>> study.recipe("mirror", seed=1).augment
    'flip'
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    name: Annotated[str, name_of("._-", 100)]
    """The name of its folder."""
    base: str
    """The recipe that every arm starts from: a name, or a TOML file."""
    seeds: Annotated[tuple[_Seed, ...], Field(min_length=1, strict=False)] = (0, 1, 2)
    """Random seeds. Every arm is trained with each of them."""
    against: Literal["first", "previous"] = "first"
    """What an arm is compared with: the first arm, or, for a series of steps, the arm before it."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Keys of the recipe to override in all arms."""
    arms: Annotated[dict[ArmName, dict[str, Any]], Field(min_length=2)]
    """By arm, the keys that it overrides. The first arm may override nothing."""

    @field_validator("set", mode="before")
    @classmethod
    def _set_by_full_key(cls, keys: Any) -> Any:
        return _by_full_key(keys) if isinstance(keys, dict) else keys

    @field_validator("arms", mode="before")
    @classmethod
    def _arms_by_full_key(cls, arms: Any) -> Any:
        if not isinstance(arms, dict):
            return arms
        return {name: _by_full_key(keys) if isinstance(keys, dict) else keys for name, keys in arms.items()}

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("each seed may be named once")
        return seeds

    def recipe(self, arm: str, seed: int) -> Recipe:
        """The recipe of one run. Raises UserError naming the arm when its overrides are not a valid recipe."""
        try:
            keys = {**self.set, **self.arms[arm]}
            values = {key: parse_value(key, each) if each == "none" else each for key, each in keys.items()}
            found = recipes.find(self.base).override(values)
        except UserError as error:
            raise UserError(f"study '{self.name}', arm '{arm}': {error}") from None
        return found.override({"name": self.name, "seed": seed})

    def runs(self) -> list[tuple[str, int]]:
        """(arm, seed) of every run, in the order in which they are trained: all arms of a seed before the next one."""
        return [(arm, seed) for seed in self.seeds for arm in self.arms]

    def override(self, assignments: dict[str, Any]) -> "Study":
        """A copy in which every arm has ``assignments``, unless it sets the key itself."""
        return from_values({**self.model_dump(), "set": {**self.set, **_by_full_key(assignments)}})

    def with_seeds(self, count: int) -> "Study":
        """A copy with the seeds 0 to ``count - 1``."""
        return from_values({**self.model_dump(), "seeds": list(range(count))})

    def extends(self, other: "Study") -> bool:
        """Whether this is ``other`` with more seeds, more arms, or both; the first arm and the order stay."""
        arms = {name: keys for name, keys in self.arms.items() if name in other.arms}
        same = self.model_copy(update={"seeds": other.seeds, "arms": arms}) == other
        ordered = [*arms] == [*other.arms] and next(iter(arms)) == next(iter(self.arms))
        return same and ordered and {*other.seeds} <= {*self.seeds}

    def to_toml(self, *, named: bool = True) -> str:
        """The study as TOML. Without ``named`` its name is left out, and the file's name takes its place."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude=None if named else {"name"}))


def from_toml(path: Path) -> Study:
    """Read a study from a TOML file; a base that is a file is looked for beside it. UserError names file and key."""
    values = toml.read(path)
    base = values.get("base")
    if isinstance(base, str) and (path.parent / base).is_file():
        values["base"] = str((path.parent / base).resolve())
    try:
        return from_values({"name": path.stem, **values})
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def from_values(values: dict[str, Any]) -> Study:
    """Validate nested values as a study. Raises UserError with one line on the first mistake."""
    return Study(**values)


def _by_full_key(keys: dict[str, Any]) -> dict[str, Any]:
    """``{"train": {"epochs": 2}, "lr": 0.1}`` -> ``{"train.epochs": 2, "optim.lr": 0.1}``.

    TOML has no word for an unset key: as on the command line, it is "none".
    """
    flat: dict[str, Any] = {}
    for key, value in keys.items():
        if isinstance(value, dict):
            flat |= {resolve_key(f"{key}.{inner}"): each for inner, each in value.items()}
        else:
            flat[resolve_key(key)] = value
    return {key: "none" if value is None else value for key, value in flat.items()}
