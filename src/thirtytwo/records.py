"""The shapes of the JSON files of runs and studies.

The files may come from elsewhere, or be damaged: each is checked here, once, when it is read.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Required, TypeVar, cast

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from thirtytwo.errors import UserError
from thirtytwo.files import read_json, read_json_lines
from thirtytwo.spec import Spec
from thirtytwo.words import plural

Side = Annotated[int, Field(ge=1, le=1024, strict=True)]
Count = Annotated[int, Field(ge=0, le=2**53, strict=True)]
Number = Annotated[float, Field(ge=-1e39, le=1e39, strict=True)]
Seconds = Annotated[float, Field(ge=0, le=1e12, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
MOST_VIEWS = 1000
"""That a prediction averages."""
Hash = Annotated[str, Field(strict=True, pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(strict=True)]
Digests = Annotated[str, Field(strict=True, pattern=r"^([0-9a-f]{16})*$")]
Classes = Annotated[list[Text], Field(min_length=1, max_length=10**6)]


class Status(TypedDict, total=False):
    """status.json: how far a run is. ``state`` is created, running, trained, finished, interrupted or failed.

    ``train_accuracy`` is that of the trained network on ``train_images`` of its training images as they are.
    """

    format: Required[Count]
    state: Required[Text]
    step: Count
    steps: Count
    seconds: Seconds
    started: Text
    updated: Text
    recipe_sha256: Hash
    test: bool
    message: Text
    train_accuracy: Share
    train_images: Count


class Continued(TypedDict):
    """In env.json, what a run goes on from: another run, after how many steps, by which checkpoint.

    ``rate`` is the learning rate there, as the new schedule has it, as a multiple of its peak; ``looks`` are those at
    test before that, of all the runs that it goes on from.
    """

    run: Text
    step: Count
    sha256: Hash
    rate: Number
    looks: Count


class Env(TypedDict, total=False):
    """env.json: what a run runs on and what it comes from. Empty before training began."""

    thirtytwo: Text
    torch: Text
    processor: Text
    device: Text
    precision: Literal["bf16", "float32"]
    threads: Annotated[int, Field(ge=1, le=4096, strict=True)]
    cores: Count | None
    imports: list[Text]
    source: Text
    imported: Text
    taken: Text
    sha256: Hash
    teacher: Text
    teacher_sha256: Hash
    weights: Text
    weights_sha256: Hash
    seen_before: dict[str, Count] | None
    continued: Continued


class NeighboursRecord(TypedDict):
    """In model.json, the head of a model whose head is nearest neighbours."""

    head: Text
    k: Annotated[int, Field(ge=1, strict=True)]
    images: Annotated[int, Field(ge=1, le=10**8, strict=True)]
    features: Annotated[int, Field(ge=1, le=10**6, strict=True)]


class PicturesRecord(TypedDict):
    """In model.json, mean and standard deviation of the training pictures' means, by channel, in 0..1."""

    mean: list[Share]
    spread: list[Share]


class Solved(TypedDict):
    """In model.json, how a head was solved for that was not trained in steps."""

    by: Literal["lbfgs", "knn"]
    strength: Number
    tried: list[dict[str, Number]]


class CardBody(TypedDict, total=False):
    """How to use a model's weights."""

    format: Count
    model: Required[Text]
    channels: Required[Literal[1, 3]]
    size: Required[tuple[Side, Side]]
    classes: Required[Classes]
    mean: Required[list[Number]]
    std: Required[list[Number]]
    fit: Required[Literal["pad", "crop", "stretch"]]
    parameters: Required[Count]
    pictures: PicturesRecord
    freeze: Text
    frozen: Count
    neighbours: NeighboursRecord
    solved: Solved
    feature_views: Count


class Card(CardBody, total=False):
    """model.json: a card's body with the sha256 of the weights. Beside an exported file it also has the recipe.

    >>> import thirtytwo
    >>> card: thirtytwo.Card = thirtytwo.train(epochs=1, model="cnn2(width=2)", progress=False).card
    >>> card["model"], card["size"], card["channels"]
    ('cnn2(width=2)', (8, 8), 1)
    """

    sha256: Required[Hash]
    recipe: dict[str, Any]


class SplitRecord(TypedDict, total=False):
    """split.json: the cut of a run's images. Keys of the dictionaries are "train", "val" and "test".

    ``content`` has 16 hex digits per image, which tell it from others whatever size it is trained at; it and ``labels``
    are in the order of ``ids``. ``kept`` is the content of an earlier run whose images stayed where they were.
    ``shape`` is [C, H, W].
    """

    name: Required[Text]
    classes: Required[Classes]
    version: Literal[1, 2, 3]
    plan: Required[Text]
    split_seed: Required[int]
    sizes: Required[dict[str, Count]]
    class_counts: Required[dict[str, list[Count]]]
    sha256: Required[dict[str, Hash]]
    cut_from: dict[str, Text]
    orders: dict[str, Hash]
    ids: Required[dict[str, list[Count]]]
    content: dict[str, Digests]
    labels: dict[str, list[Count]]
    shape: list[Count]
    kept: dict[str, Digests]
    notes: Required[list[Text]]


class EvaluationRecord(TypedDict, total=False):
    """A line of metrics.jsonl: one evaluation of a training.

    >>> from thirtytwo import EvaluationRecord
    >>> record: EvaluationRecord = {"step": 20, "epoch": 1.0, "val_loss": 0.31, "val_accuracy": 0.9}
    >>> f"{record['val_accuracy']:.0%} after epoch {record['epoch']:g}"
    '90% after epoch 1'
    """

    step: Required[Count]
    epoch: Required[Annotated[float, Field(ge=0, le=1e9, strict=True)]]
    lr: Number
    train_loss: Number
    train_accuracy: Share
    val_loss: Required[Number]
    val_accuracy: Required[Share]
    seconds: Seconds


class Look(TypedDict, total=False):
    """A line of looks.jsonl."""

    time: Required[Text]
    split: Required[Text]
    by: Required[Text]
    n: Required[Count]
    weights_sha256: Required[Hash | None]
    accuracy: Required[Share]
    views: Required[Count]
    accuracy_tta: Required[Share | None]


class EstimateRecord(TypedDict):
    """A score of a scoring; what is not a finite number is null."""

    value: Number | None
    low: Number | None
    high: Number | None
    n: Count


class Scoring(TypedDict):
    """An entry of scores.json; a score that is not defined for the split is null."""

    split: Literal["val", "test"]
    views: Annotated[int, Field(ge=1, le=MOST_VIEWS, strict=True)]
    n: Annotated[int, Field(ge=1, le=2**53, strict=True)]
    right: Count
    scores: dict[str, EstimateRecord | None]


class Scores(TypedDict):
    """scores.json."""

    scorings: list[Scoring]


class StudyState(TypedDict, total=False):
    """study.json."""

    format: Required[Count]
    sha256: Required[Hash]
    base_sha256: Required[Hash]
    next: Text
    threads: Required[Annotated[int, Field(ge=1, le=4096, strict=True)]]
    device: Text
    imports: Required[list[Text]]
    closed: Required[Annotated[str, Field(strict=True, min_length=1)] | None]
    closed_arms: list[Text]
    grown: Count


class BestRecord(TypedDict):
    """The best evaluation in a checkpoint's state."""

    loss: Number | None
    waited: Count


class CheckpointState(TypedDict):
    """state.json of a checkpoint. A schedule may remember an infinite loss."""

    step: Count
    seconds: Seconds
    best: BestRecord
    schedule: dict[str, Annotated[float, Field(strict=True)]]
    average_steps: Count


class Manifest(TypedDict):
    """MANIFEST.json of a checkpoint."""

    step: Count
    sha256: dict[str, Hash]


CUT_FROM_TEST = (
    "Val and test were both cut from the official test split (plan val-from-test): these figures cannot be compared "
    "with those of others, who score all of it."
)
"""The caveat for a run whose split.json names that plan."""

T = TypeVar("T")


def read(path: Path, shape: type[T]) -> T | None:
    """The value of a JSON file of that shape; None where there is no file. Raises UserError for any other value."""
    return checked(path, read_json(path), shape) if path.exists() else None


def read_lines(path: Path, shape: type[T]) -> list[T]:
    """One JSON value of that shape per line; empty without a file. A last line that a kill cut short is left out.

    Raises UserError naming the file for anything else.
    """
    return [checked(path, value, shape) for value in read_json_lines(path)] if path.exists() else []


def require_format(path: Path, newest: int) -> None:
    """Raise UserError when the file is of a later version, in which its other keys may mean anything."""
    found = read_json(path)
    form = found.get("format") if isinstance(found, dict) else None
    if not isinstance(form, int) or form > newest:
        raise UserError(f"{path}: written in format {form}, but this version reads format {newest}: upgrade thirtytwo")


def checked(path: Path, value: object, shape: type[T]) -> T:
    """``value`` if it has the keys, types and ranges of ``shape``; UserError naming the file ``path`` otherwise.

    Keys that the shape does not know are kept: a later version may have written them.
    """
    try:
        valid = _adapter(shape).validate_python(value)
        if law := _LAWS.get(shape):
            law(valid)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: damaged ({where + ' ' if where else ''}{_lower(first['msg'])}): restore it") from None
    except (ValueError, OverflowError) as error:
        raise UserError(f"{path}: damaged ({error}): restore it") from None
    return cast(T, valid)


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(shape: type[Any]) -> TypeAdapter[Any]:
    if shape not in _ADAPTERS:
        config = ConfigDict(extra="allow", allow_inf_nan=shape is CheckpointState)
        _ADAPTERS[shape] = TypeAdapter(with_config(config)(shape))
    return _ADAPTERS[shape]


def _lower(message: str) -> str:
    return message[0].lower() + message[1:]


def _whole_card(card: Card) -> None:
    for name in ("mean", "std"):
        if len(card[name]) != card["channels"]:
            raise ValueError(
                f"{name} has {plural(len(card[name]), 'number')} for {plural(card['channels'], 'channel')}"
            )
    try:
        Spec.parse(card["model"])
    except UserError as error:
        raise ValueError(f"model: {error}") from None
    if (pictures := card.get("pictures")) and not all(
        len(pictures[key]) in (1, card["channels"]) for key in ("mean", "spread")
    ):
        raise ValueError(f"pictures must have numbers for {plural(card['channels'], 'channel')}")
    if min(card["std"]) <= 0:
        raise ValueError("std must be above 0")
    _different(card["classes"])


def _whole_split(split: SplitRecord) -> None:
    _different(split["classes"])
    if len(split.get("shape", (1, 1, 1))) != 3:
        raise ValueError("shape is not [C, H, W]")
    for split_name in ("train", "val", "test"):
        for key in ("sizes", "class_counts", "sha256", "ids", "content", "labels", "kept"):
            if key in split and split_name not in split[key]:
                raise ValueError(f"{key} lacks {split_name}")
        counts, size = split["class_counts"][split_name], split["sizes"][split_name]
        if len(counts) != len(split["classes"]) or sum(counts) != size or len(split["ids"][split_name]) != size:
            raise ValueError(f"sizes, class_counts and ids of {split_name} contradict each other")
        if "content" in split and len(split["content"][split_name]) != 16 * size:
            raise ValueError(f"content of {split_name} is not of {plural(size, 'image')}")
        labels = split["labels"][split_name] if "labels" in split else [0] * size
        if len(labels) != size or max(labels, default=0) >= len(split["classes"]):
            raise ValueError(f"labels of {split_name} are not {size} below {len(split['classes'])}")
        if "cut_from" in split and split["cut_from"].get(split_name) not in ("train", "val", "test"):
            raise ValueError(f"cut_from does not say what {split_name} was cut from")


def _different(classes: list[str]) -> None:
    if len({*classes}) < len(classes):
        raise ValueError("two classes have the same name")


def _whole_scores(found: Scores) -> None:
    plain = {scoring["split"] for scoring in found["scorings"] if scoring["views"] == 1}
    for scoring in found["scorings"]:
        if scoring["split"] not in plain:
            raise ValueError(f"{scoring['split']} lacks the scores of one view")
        if scoring["right"] > scoring["n"]:
            raise ValueError(f"{scoring['right']} of {plural(scoring['n'], 'image')} are right")
        for name in ("accuracy", "ece"):  # without which there is no report
            stored = scoring["scores"].get(name)
            if stored is None or stored["value"] is None:
                raise ValueError(f"lacks {name}")


def _plain_env(env: Env) -> None:
    """Reports show every entry: text, a number, a list of these, or these by name, and nothing deeper."""
    for key in ("device", "precision", "threads"):
        if key not in env:
            raise ValueError(f"lacks {key}")
    for key, value in env.items():
        parts = value if isinstance(value, list) else value.values() if isinstance(value, Mapping) else [value]
        if not all(part is None or isinstance(part, str | int | float) for part in parts):
            raise ValueError(f"{key} is nested")


_LAWS: dict[type[Any], Callable[[Any], None]] = {
    Card: _whole_card,
    Env: _plain_env,
    Scores: _whole_scores,
    SplitRecord: _whole_split,
}
"""Checks beyond the types of single values. Each raises ValueError."""
