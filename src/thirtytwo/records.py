"""What a run's JSON files must hold. They may come from elsewhere, or be damaged: each is checked when it is read."""

from pathlib import Path
from typing import Annotated, Any, Literal, Required

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from thirtytwo.errors import UserError

_Side = Annotated[int, Field(ge=1, le=1024)]
_Number = Annotated[float, Field(strict=True)]
_Count = Annotated[int, Field(ge=0, strict=True)]


class _Status(TypedDict, total=False):
    format: Required[_Count]
    state: Required[str]
    step: _Count
    steps: _Count
    seconds: _Number


class _Neighbours(TypedDict):
    head: str
    k: Annotated[int, Field(ge=1, strict=True)]
    images: Annotated[int, Field(ge=1, le=10**8, strict=True)]
    features: Annotated[int, Field(ge=1, le=10**6, strict=True)]


class _Solved(TypedDict):
    by: Literal["lbfgs", "knn"]
    strength: _Number
    tried: list[dict[str, _Number]]


class _Card(TypedDict, total=False):
    model: Required[str]
    channels: Required[Literal[1, 3]]
    size: Required[tuple[_Side, _Side]]
    classes: Required[list[str]]
    mean: Required[list[_Number]]
    std: Required[list[_Number]]
    fit: Required[Literal["pad", "crop", "stretch"]]
    parameters: Required[_Count]
    freeze: str
    frozen: _Count
    neighbours: _Neighbours
    solved: _Solved
    feature_views: _Count
    sha256: Required[str]


class _Split(TypedDict, total=False):
    name: Required[str]
    classes: Required[list[str]]
    sizes: Required[dict[str, _Count]]
    class_counts: Required[dict[str, list[_Count]]]
    sha256: Required[dict[str, str]]


class _Record(TypedDict, total=False):
    step: Required[_Count]
    epoch: Required[_Number]
    lr: _Number
    train_loss: _Number
    train_accuracy: _Number
    val_loss: _Number
    val_accuracy: Required[_Number]
    seconds: _Number


class _Look(TypedDict, total=False):
    time: Required[str]
    by: Required[str]
    n: Required[_Count]
    accuracy: Required[_Number]
    views: _Count


class _Estimate(TypedDict):
    value: _Number | None
    low: _Number | None
    high: _Number | None
    n: _Count


def _with_accuracy(scores: dict[str, Any]) -> dict[str, Any]:
    for name in ("accuracy", "ece"):  # without which there is no report
        if scores.get(name) is None:
            raise ValueError(f"lacks {name}")
    return scores


class Scoring(TypedDict):
    """An entry of scores.json; a score that says nothing of the split is null."""

    split: Annotated[str, Field(pattern="^(val|test)$")]
    views: Annotated[int, Field(ge=1, strict=True)]
    n: _Count
    right: _Count
    scores: Annotated[dict[str, _Estimate | None], AfterValidator(_with_accuracy)]


class _Scores(TypedDict):
    scorings: list[Scoring]


CUT_FROM_TEST = (
    "Val and test were both cut from the official test split (plan val-from-test): these figures do not compare with "
    "those of others, who score the whole of it."
)
"""What has to be said of a run whose split.json names that plan."""

_ANYTHING: TypeAdapter[Any] = TypeAdapter(dict[str, Any])
_SHAPES: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(with_config(ConfigDict(extra="allow"))(shape))
    for name, shape in {
        "status.json": _Status,
        "model.json": _Card,
        "split.json": _Split,
        "metrics.jsonl": _Record,
        "looks.jsonl": _Look,
        "scores.json": _Scores,
    }.items()
}
"""What each file must hold at least."""


def checked(path: Path, value: Any, *, shaped: bool = True, like: str = "") -> dict[str, Any]:
    """``value`` if it has the keys and types that its file must have; UserError naming the file otherwise.

    Without ``shaped`` it only has to be an object: what a later version wrote may have other keys. ``like`` names the
    file of a run whose shape one of another name must have.
    """
    shape = _SHAPES.get(like or path.name, _ANYTHING) if shaped else _ANYTHING
    try:
        valid: dict[str, Any] = shape.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: damaged ({where} {first['msg']}): restore it") from None
    return valid
