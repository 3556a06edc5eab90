"""Keys of a recipe as keyword arguments, ``epochs=3``; a program's own networks and images may be among them."""

import os
from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from torch import nn

from thirtytwo.data import given as given_data
from thirtytwo.data.given import GivenData
from thirtytwo.errors import UserError
from thirtytwo.models import given as given_models
from thirtytwo.recipe import resolve_key


class Changes(TypedDict, total=False):
    """The keys that may change while a training goes on, for `thirtytwo.resume`.

    >>> import thirtytwo
    >>> more: thirtytwo.Changes = {"epochs": 2, "optim__lr": 0.001}
    >>> run = thirtytwo.train("digits-cnn", model="cnn2(width=2)", epochs=1, progress=False)
    >>> thirtytwo.resume(run.path, **more, progress=False).run.recipe.train.epochs
    2.0
    """

    name: str
    augment: str
    schedule: str
    lr: float
    optim__lr: float
    weight_decay: float
    optim__weight_decay: float
    bias_lr: float | None
    optim__bias_lr: float | None
    bias_weight_decay: float
    optim__bias_weight_decay: float
    head_lr: float | None
    optim__head_lr: float | None
    clip: float | None
    optim__clip: float | None
    epochs: float
    train__epochs: float
    label_smoothing: float
    start_scale: float
    full_size_from: float
    train__label_smoothing: float
    train__start_scale: float
    train__full_size_from: float
    class_weights: Literal["none", "balanced"] | dict[str, float]
    train__class_weights: Literal["none", "balanced"] | dict[str, float]
    patience: int | None
    train__patience: int | None
    eval_every: float
    train__eval_every: float
    views: Literal["none", "flip", "flip+shift"]
    evaluate__views: Literal["none", "flip", "flip+shift"]
    views_share: float
    evaluate__views_share: float


class Overrides(Changes, total=False):
    """Every key of a recipe, so that an editor completes them; `thirtytwo recipes keys` says what each means.

    A key of a section is written with two underscores for its dot, ``optim__lr``, or alone, ``lr``, where no other
    section has a key of that name. ``model`` may be a network itself instead of a name, and ``data`` is images in
    memory: a pair of arrays, a PyTorch dataset, an `ImageSet`, or these by split, ``{"train": ..., "test": ...}``.

    >>> import thirtytwo
    >>> settings: thirtytwo.Overrides = {"model": "cnn2(width=2)", "optim__lr": 0.01, "epochs": 1}
    >>> thirtytwo.train(**settings, progress=False).run.recipe.optim.lr
    0.01
    """

    data: GivenData
    model: str | nn.Module
    average: str
    seed: int
    source: str | os.PathLike[str]
    data__source: str | os.PathLike[str]
    plan: Literal["default", "val-from-test"]
    data__plan: Literal["default", "val-from-test"]
    val: float | int
    data__val: float | int
    data__test: float | int
    split_seed: int
    data__split_seed: int
    split_version: Literal[1, 2, 3]
    data__split_version: Literal[1, 2, 3]
    keep_split: str | os.PathLike[str]
    data__keep_split: str | os.PathLike[str]
    limit: int | None
    data__limit: int | None
    size: int | None
    data__size: int | None
    channels: Literal[1, 3] | None
    data__channels: Literal[1, 3] | None
    fit: Literal["pad", "crop", "stretch"]
    data__fit: Literal["pad", "crop", "stretch"]
    bad_images: Literal["fail", "skip"]
    data__bad_images: Literal["fail", "skip"]
    image_column: str | None
    data__image_column: str | None
    label_column: str | None
    data__label_column: str | None
    optim__name: str
    momentum: float
    optim__momentum: float
    nesterov: bool
    optim__nesterov: bool
    betas: tuple[float, float]
    optim__betas: tuple[float, float]
    layer_decay: float
    optim__layer_decay: float
    batch_size: int
    train__batch_size: int
    freeze: str
    train__freeze: str
    unfreeze_every: float | None
    train__unfreeze_every: float | None
    solver: Literal["steps", "lbfgs", "knn"]
    train__solver: Literal["steps", "lbfgs", "knn"]
    feature_views: int
    train__feature_views: int
    sampling: Literal["shuffled", "balanced"]
    train__sampling: Literal["shuffled", "balanced"]
    teacher: str
    train__teacher: str
    temperature: float
    train__temperature: float
    teacher_weight: float
    train__teacher_weight: float
    precision: Literal["auto", "bf16", "float32"]
    train__precision: Literal["auto", "bf16", "float32"]
    compile: bool
    train__compile: bool


def assignments(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides by full dotted key, as `Recipe.override` takes them.

    Networks and images that are given as objects get names, under which this process finds them. Raises UserError for
    an unknown key and for an object that is neither a network nor images.
    """
    found: dict[str, Any] = {}
    for key, value in overrides.items():
        full = "data.source" if key == "data" else resolve_key(key.replace("__", "."))
        if full in found:
            raise UserError(f"key '{full}' is given twice")
        if key == "data":
            found[full] = given_data.register(value)
        elif isinstance(value, nn.Module):
            found[full] = given_models.register(value)
        else:
            found[full] = os.fspath(value) if isinstance(value, os.PathLike) else value
    return found
