"""Named studies: one function each, whose docstring says what it asks, how long it takes, and what it found."""

from pathlib import Path

from thirtytwo.errors import UserError, did_you_mean
from thirtytwo.registry import Registry
from thirtytwo.study.definition import Study, from_toml

studies: Registry[Study] = Registry("study", package="thirtytwo.studies")


def find(name: str) -> Study:
    """A study by registered name, or from a TOML file. Raises UserError when it is neither."""
    if name in studies:
        return studies.build(name)
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return from_toml(path)
    raise UserError(f"unknown study '{name}'{did_you_mean(name, studies.names())}")


__all__ = ["find", "studies"]
