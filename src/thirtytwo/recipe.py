"""A recipe: everything that determines a training, as one typed value. Never imports torch."""

from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import tomli_w
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError
from typing_extensions import override

from thirtytwo import toml
from thirtytwo.errors import UserError, brief
from thirtytwo.spec import Spec, parse_chain
from thirtytwo.values import Values, name_of

Portion = Annotated[float, Field(gt=0, lt=1, strict=True)] | Annotated[int, Field(ge=1, le=2**53, strict=True)]
"""A share of a set (a fraction below 1) or a number of images (a whole number)."""


Weight = Annotated[float, Field(gt=0, le=1e6)]
"""What a mistake costs, relative to others."""


Count = Annotated[int, Field(ge=1, le=2**53, strict=True)]
"""How many of something; at most what a file of JSON holds exactly."""
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63, strict=True)]
LONGEST = 100
"""Characters of a key."""

Moment = Annotated[float, Field(ge=0, lt=1, strict=True)]
"""The decay of a moving average."""


class _Section(Values):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, strict=True
    )


class Data(_Section):
    """Where the images come from and how they are split.

    >>> from thirtytwo import Data, Recipe
    >>> Recipe(data=Data(source="mnist", val=5000)).data.plan
    'default'
    """

    source: Annotated[str, Field(min_length=1)] = "digits"
    """A source's name (`thirtytwo data list`), or a path to a folder or file of images."""
    plan: Literal["default", "val-from-test"] = "default"
    """`default` cuts val from the official train split; `val-from-test` divides the official test split into val (65 %)
    and test (35 %)."""
    val: Portion = 0.1
    """Share, or number, of the official train images that go to val. Unused if the source has a val split."""
    test: Portion = 0.2
    """Share, or number, of the images that go to test if the source has no official test split."""
    split_seed: Seed = 0
    """Seed of the cut. Separate from `seed`, so that runs with different seeds share one split."""
    split_version: Literal[1, 2, 3] = 3
    """The rule of the cut: 3 goes by what the pictures are. Earlier runs keep theirs: 2 went by the bytes of files of
    more than 64 pixels a side, 1 by what the pictures are once resized."""
    keep_split: str = "none"
    """A run's folder: its images stay in the splits that they were in, and only what is new is cut."""
    limit: Count | None = None
    """Train on only this many images (stratified, at least one of each class); val and test stay whole."""
    size: Annotated[int, Field(ge=4, le=1024)] | None = None
    """Height and width in pixels to resize to. Unset: the images' own size if it is one and at most 64, else 32."""
    channels: Literal[1, 3] | None = None
    """Convert to grey (1) or RGB (3). Unset: as the source has them."""
    fit: Literal["pad", "crop", "stretch"] = "pad"
    """How a picture that is not square becomes square: bars, cut edges or distortion."""
    bad_images: Literal["fail", "skip"] = "fail"
    """What to do when a picture cannot be read: stop, or leave it out and report it."""
    image_column: Annotated[str, Field(min_length=1)] | None = None
    """The column of pictures in parquet files. Unset: found by its name and type, and said."""
    label_column: Annotated[str, Field(min_length=1)] | None = None
    """The column of labels in parquet files. Unset: found by its name and type, and said."""


def _none_or_run(text: str) -> str:
    if text != "none" and not Spec(text).run:
        raise PydanticCustomError("teacher", "expected run:PATH, the folder of a finished run, or none")
    return text


def _word_or_table(weights: object) -> object:
    """Refuse what is neither with both forms: pydantic would name the words alone."""
    word = isinstance(weights, str) and weights in ("none", "balanced")
    table = isinstance(weights, dict) and not any(isinstance(each, dict) for each in weights.values())
    if not word and not table:
        raise PydanticCustomError(
            "class_weights",
            'expected none, balanced, or a table such as {ant = 2, "my class" = 3, "a.b" = 4}, each class once',
        )
    return weights


class Optim(_Section):
    """The optimizer. Norms and biases have a weight decay of their own, which is zero unless it is set.

    >>> from thirtytwo import Optim, Recipe
    >>> Recipe(optim=Optim(name="adamw", lr=0.002)).optim.betas
    (0.9, 0.999)
    """

    name: str = "sgd"
    """sgd, adam, adamw, rmsprop, muon, or one of your own."""
    lr: Annotated[float, Field(gt=0, le=1e30)] = 0.1
    """Peak learning rate."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of sgd, rmsprop and muon."""
    nesterov: bool = True
    """Nesterov momentum, for sgd and muon."""
    betas: Annotated[tuple[Moment, Moment], Field(strict=False)] = (0.9, 0.999)
    """Decay of the gradient's two moments, for adam and adamw; rmsprop uses the second one."""
    weight_decay: Annotated[float, Field(ge=0, le=1e6)] = 5e-4
    """Pull of the weights towards zero, as the optimizer defines it: added to the gradient (sgd, adam, rmsprop), or
    separate from it (adamw). muon does not apply it to the filters."""
    bias_lr: Annotated[float, Field(gt=0, le=1e30)] | None = None
    """Peak learning rate of norms and biases. Unset: `lr`."""
    bias_weight_decay: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """Pull of norms and biases towards zero, likewise."""
    head_lr: Annotated[float, Field(gt=0, le=1e30)] | None = None
    """Peak learning rate of the head's weights, the last linear layer's. Unset: `lr`."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Learning rates shrink by this factor with each stage further from the head."""
    clip: Annotated[float, Field(gt=0)] | None = None
    """Largest gradient norm; larger gradients are scaled down to it."""


class Train(_Section):
    """The length of the training and what it minimises.

    >>> from thirtytwo import Recipe, Train
    >>> Recipe(train=Train(epochs=3, batch_size=64)).train.label_smoothing
    0.0
    """

    epochs: Annotated[float, Field(gt=0, le=1e6)] = 10
    """Passes over the training images; fractions are fine."""
    batch_size: Count = 128
    """Images per step. The last, smaller batch of an epoch is left out when an epoch has more than one batch."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of each target that is spread over all classes."""
    start_scale: Annotated[float, Field(ge=0.125, le=1)] = 1.0
    """The images' sides at the start, as a share of their own (progressive resizing): small images take less time, and
    enough can be seen in them to begin with. From then on they grow."""
    full_size_from: Annotated[float, Field(gt=0, lt=1)] = 0.75
    """With `train.start_scale` below 1: the share of the training from which the images have their own size."""
    freeze: Annotated[str, Field(min_length=1, max_length=1000)] = "none"
    """What is not trained: `none`, `all-but-head`, `to:layer4` (everything before that stage), or patterns of parameter
    names: `features.*,classifier.1.*`."""
    unfreeze_every: Annotated[float, Field(gt=0)] | None = None
    """Train one more of the frozen stages, counted from the head, every time this many epochs have passed."""
    solver: Literal["steps", "lbfgs", "knn"] = "steps"
    """How the weights are found. `steps`: by the optimizer, batch by batch. If all but the head is frozen, also
    `lbfgs`, a linear probe solved to convergence, or `knn`, the nearest training images; val chooses its strength."""
    feature_views: Annotated[int, Field(ge=1, le=1000)] = 4
    """If all but the head is frozen: the number of augmented views of each image; epochs take turns."""
    class_weights: Annotated[Literal["none", "balanced"] | dict[str, Weight], BeforeValidator(_word_or_table)] = "none"
    """How much a mistake costs, by class: `{cat=3, dog=1}`, 1 for those not named, or `balanced`, the inverse of each
    class's frequency. They are scaled to a mean of 1 over the images."""
    sampling: Literal["shuffled", "balanced"] = "shuffled"
    """Which images an epoch shows: `shuffled` is each once, `balanced` as many of each class, those of small ones
    repeatedly."""
    teacher: Annotated[str, AfterValidator(_none_or_run)] = "none"
    """A finished run whose answers are learned alongside the labels (distillation): `run:runs/cifar10-fast-1`."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 4.0
    """What the logits of both are divided by before the teacher's answers are compared: the higher, the more of
    the teacher's answers for the wrong classes shows."""
    teacher_weight: Annotated[float, Field(ge=0, le=1)] = 0.9
    """The teacher's share of the loss; the rest is the labels'."""
    patience: Count | None = None
    """Stop when val's loss has not improved for this many evaluations, and keep the best weights."""
    eval_every: Annotated[float, Field(gt=0)] = 1.0
    """Epochs between two evaluations on val."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """`auto` is bf16 if the hardware computes in it, else float32."""
    compile: bool = False
    """Compile the network with torch.compile."""


class Evaluate(_Section):
    """How a trained model is scored.

    >>> from thirtytwo import Evaluate, Recipe
    >>> Recipe(evaluate=Evaluate(views="flip")).evaluate.views
    'flip'
    """

    views: Literal["none", "flip", "flip+shift"] = "none"
    """Test-time augmentation: the mean over the mirrored image (2 views), and over two shifts by a pixel (6)."""
    views_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The share of val's images, the least confident ones, that get views; others do if they are as unsure as these."""


class Recipe(_Section):
    """Everything that determines a training. The same recipe gives the same bits on the same processor.

    >>> from thirtytwo import Recipe
    >>> recipe = Recipe(model="cnn2(width=8)", augment="flip|translate(2)")
    >>> recipe.override({"epochs": 5}).train.epochs
    5.0
    >>> recipe.override({"epocs": 5})
    Traceback (most recent call last):
    thirtytwo.errors.UserError: unknown key 'epocs': did you mean 'train.epochs'?
    """

    name: Annotated[str, name_of("._-", 100)] = "custom"
    """What its runs are called."""
    model: str = "cnn2"
    """A network as text: `cnn2`, `wideresnet(depth=16, width=4)`."""
    augment: str = "none"
    """Augmentations as text, one after the other: `flip|translate(4)`."""
    schedule: str = "cosine"
    """The learning rate's course as text: `cosine(warmup=0.1)`."""
    average: str = "none"
    """Averaging of the weights: `none`, `ema(0.99)` or `lookahead(5)`."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of every draw in the training: weights, order, augmentation, dropout."""
    data: Data = Data()
    optim: Optim = Optim()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()

    @classmethod
    @override
    def unknown(cls, key: str) -> UserError:
        return _unknown(key)

    @field_validator("model", "schedule", "average")
    @classmethod
    def _is_spec(cls, text: str) -> str:
        return str(Spec.parse(text))

    @field_validator("augment")
    @classmethod
    def _is_chain(cls, text: str) -> str:
        return "|".join(map(str, parse_chain(text))) or "none"

    def to_toml(self, *, comments: bool = False) -> str:
        """The recipe as TOML; unset keys are left out. ``comments`` puts each key's meaning above it."""
        text = tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))
        return _with_comments(text) if comments else text

    def override(self, assignments: dict[str, Any]) -> "Recipe":
        """A copy with ``{"optim.lr": 0.2}`` applied. A key may omit its section if its last part is unique.

        Raises UserError for an unknown key, a wrong type or a value out of range.
        """
        values = self.model_dump()
        for key, value in assignments.items():
            *sections, last = resolve_key(key).split(".")
            target = values
            for section in sections:
                target = target[section]
            target[last] = value
        return from_values(values)


def keys() -> dict[str, str]:
    """Every key of a recipe, dotted, with what it means."""
    found: dict[str, str] = {}
    for name, field in Recipe.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, _Section):
            found |= {f"{name}.{key}": sub.description or "" for key, sub in field.annotation.model_fields.items()}
        else:
            found[name] = field.description or ""
    return found


def _with_comments(toml: str) -> str:
    meanings, section, lines = keys(), "", []
    for line in toml.splitlines():
        if line.startswith("["):
            section = f"{line.strip('[]')}."
        meaning = meanings.get(section + line.partition(" = ")[0])
        lines += [f"# {' '.join(meaning.split())}", line] if meaning else [line]
    return "\n".join(lines) + "\n"


def resolve_key(key: str) -> str:
    """The full dotted key that ``key`` names; UserError with the nearest one otherwise."""
    known = keys()
    if key in known:
        return key
    key = key[:LONGEST]  # what follows compares it with every key
    ends = [full for full in known if full.rpartition(".")[2] == key]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise UserError(f"key '{key}' is ambiguous: use {' or '.join(ends)}")
    sections = sorted({full.partition(".")[0] for full in known if "." in full})
    if key in sections:
        inside = [full for full in known if full.startswith(f"{key}.")]
        raise UserError(f"'{key}' is a section: set one of its keys, {', '.join(inside)}")
    raise _unknown(key)


def _unknown(key: str) -> UserError:
    known = keys()
    ends_of = {full.rpartition(".")[2]: full for full in known} | {"learning_rate": "optim.lr"}
    close = get_close_matches(key.rpartition(".")[2], ends_of, n=1) or get_close_matches(key, known, n=1)
    hint = f": did you mean '{ends_of.get(close[0], close[0])}'?" if close else ": `thirtytwo recipes keys` lists them"
    return UserError(f"unknown key '{key}'{hint}")


def parse_assignments(words: list[str]) -> dict[str, Any]:
    """``["optim.lr=0.2", "augment=flip|translate(4)"]`` as values: TOML where it parses as TOML, else text."""
    assignments: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            hint = f"data.source={word}" if _is_path(word) else "optim.lr=0.2"
            raise UserError(f"{brief(word)} is not an override: expected key=value, such as {hint}")
        full = resolve_key(key.strip())
        assignments[full] = parse_value(full, text.strip())
    return assignments


def _is_path(word: str) -> bool:
    try:
        return bool(word) and Path(word).exists()
    except (OSError, ValueError):
        return False


def parse_value(key: str, text: str) -> Any:
    """What ``text`` means for the full dotted ``key``.

    Text for a key that takes text, else the value that it has as TOML, as a Python float or as the word none.
    """
    quoted = len(text) > 1 and text[0] in "\"'" and text[-1] == text[0]
    words = [each for kind in get_args(_annotation(key)) if get_origin(kind) is Literal for each in get_args(kind)]
    if (takes(key) == {str} and not quoted) or text in words:
        return text
    if text.lower() in ("none", "null"):
        return None
    try:
        parsed = toml.loads(f"value = {text}")
        return parsed["value"] if set(parsed) == {"value"} else text
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def takes(key: str) -> set[Any]:
    """The types of the values that the full dotted ``key`` takes; that of None is one of them where it may be unset."""
    return _types(_annotation(key))


def _types(wanted: Any) -> set[Any]:
    origin, inside = get_origin(wanted), get_args(wanted)
    if origin is Literal:
        return {*map(type, inside)}
    if origin is Annotated:
        return _types(inside[0])
    if origin in (Union, UnionType):
        return set().union(*map(_types, inside))
    return {origin or wanted}


def _annotation(key: str) -> Any:
    section, _, last = key.rpartition(".")
    model = Recipe.model_fields[section].annotation if section else Recipe
    assert model is not None
    return model.model_fields[last].annotation


def from_toml(path: Path, *, stored: bool = False) -> Recipe:
    """Read a recipe from a TOML file: the user's, or one that a run has ``stored``.

    Raises UserError naming the file and the key.
    """
    values = toml.read(path)
    try:
        return from_stored(values) if stored else from_values(values)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def from_stored(values: dict[str, Any]) -> Recipe:
    """A recipe that a run, a study or a card keeps. What it does not say is as in the version that wrote it."""
    data = values.get("data", {})
    older = {"split_version": 1} if isinstance(data, dict) and "split_version" not in data else {}
    return from_values({**values, "data": {**data, **older}} if older else values)


def from_values(values: dict[str, Any]) -> Recipe:
    """Validate nested values as a recipe. Raises UserError with one line on the first mistake."""
    return Recipe(**values)
