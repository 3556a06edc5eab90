"""Recipes, studies, specifications and key=value words, made and changed at random: taken, or refused in one line.

A failure names its kind and number: `pytest "tests/fuzz/test_fuzz_recipes.py::test_every_text[words]"` repeats it.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from mutations import mutated, one_line_at_most

from thirtytwo import memory
from thirtytwo.augment import Batch, augmentations
from thirtytwo.errors import UserError
from thirtytwo.models import models
from thirtytwo.models.classifier import build_network
from thirtytwo.recipe import Recipe, from_toml, keys, parse_assignments
from thirtytwo.recipes import recipes
from thirtytwo.rng import generator as torch_generator
from thirtytwo.runs.loading import check
from thirtytwo.spec import parse_chain
from thirtytwo.studies import studies
from thirtytwo.study.definition import from_toml as study_from_toml
from thirtytwo.training.session import prepare

SECONDS = 10
"""For one text; most take milliseconds."""
BATCH = Batch(torch.rand(4, 3, 16, 16), torch.eye(4), ids=torch.arange(4))
KEYS = [*keys(), *(key.rpartition(".")[2] for key in keys()), "data", "optim.lrr", "", "a.b.c", "train"]
NUMBERS = (
    "0", "1", "-1", "2", "0.5", "1e-300", "1e300", "1e999", "-0.0", "nan", "inf", "none", "true", "False", "1_0",
    "4096", "100000", str(2**63 - 1), str(2**63), str(-(2**63)), "9" * 19, "9" * 400, "9" * 5000, "0x" + "f" * 6000,
)  # fmt: skip
VALUES = (
    *NUMBERS, "", " ", "[]", "[0.9, 0.999]", "[1, 2, 3]", "{a = 1}", "{" * 900, "[" * 9000, "(" * 300 + ")" * 300,
    "'x'", '"', "'" * 3, "\0", "\n", "\ud800", "é" * 200, "x" * 300, "x" * 5000, "/".join("x" * 4000), "../..",
    "~nobody", "run:x", "run:", "own:x", "timm/", "torchvision/x", "digits", "2020-01-01", "a.b = 1",
    "1\nb = 2", "*", "a*" * 400,
)  # fmt: skip


def words(generator: np.random.Generator) -> None:
    """Key=value words over a small recipe, as `thirtytwo train` takes them."""
    chosen = [f"{_one(KEYS, generator)}={_value(generator)}" for _ in range(generator.integers(1, 4))]
    recipe = Recipe(model="cnn2(width=2)").override(parse_assignments(chosen))
    check(recipe)
    assert Recipe(**recipe.model_dump()) == recipe


def training(generator: np.random.Generator) -> None:
    """Numbers for a recipe's keys, and what is made of them before a training: images, splits, network, first batch."""
    chosen = [f"{_one(KEYS, generator)}={_one(NUMBERS, generator)}" for _ in range(generator.integers(1, 3))]
    chosen += [f"augment={_call(_one([*augmentations], generator), generator)}"] if generator.integers(2) else []
    prepare(Recipe(model="cnn2(width=2)").override(parse_assignments(chosen)), "cpu")


def specification(generator: np.random.Generator) -> None:
    """A network or a chain of augmentations with arguments of all sizes, built and used."""
    if generator.integers(2):
        spec = _call(_one([*models], generator), generator)
        network = build_network(spec, 3, 10, (16, 16))
        assert sum(each.numel() for each in network.module.parameters()) < 10**8, "larger ones do not fit"
        return
    chain = "|".join(_call(_one([*augmentations], generator), generator) for _ in range(generator.integers(1, 3)))
    for spec in parse_chain(chain):
        images = augmentations.build(spec)(BATCH, torch_generator(0, "fuzz")).images
        assert images.shape == BATCH.images.shape and bool(images.isfinite().all()), spec


def text(original: str, read: Callable[[Path], object], folder: Path, generator: np.random.Generator) -> None:
    """A file of TOML whose bytes are changed."""
    file = folder / "mine.toml"
    file.write_bytes(mutated(original.encode(), generator))
    read(file)


def values(original: str, read: Callable[[Path], object], folder: Path, generator: np.random.Generator) -> None:
    """A file of TOML some of whose values are others."""
    lines = original.splitlines()
    for _ in range(generator.integers(1, 3)):
        at = int(generator.integers(len(lines)))
        key, equals, _old = lines[at].partition(" = ")
        lines[at] = f"{key} = {_value(generator)}" if equals else _value(generator)
    (folder / "mine.toml").write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")
    read(folder / "mine.toml")


def _one(choices: list[str] | tuple[str, ...], generator: np.random.Generator) -> str:
    return choices[generator.integers(len(choices))]


def _value(generator: np.random.Generator) -> str:
    if generator.integers(4):
        return _one(VALUES, generator)
    return _call(_one(["flip", "translate", "cosine", "ema", "cnn2", "resnet18", "sgd", "step"], generator), generator)


def _call(name: str, generator: np.random.Generator) -> str:
    """A component with up to three arguments: in order, by a name that it has, or by another."""
    names = ("width", "widths", "depth", "p", "pixels", "size", "scale", "x", "padding", "sigma", "amount", "hidden")
    numbers = [each for each in NUMBERS if len(each) < 30] + ["3", "8", "(8, 8, 8)", "(0.5, 1)", "'zero'", "[[1]]"]
    given = [
        (f"{_one(names, generator)}=" if generator.integers(2) else "") + _one(numbers, generator)
        for _ in range(generator.integers(0, 4))
    ]
    return f"{name}({', '.join(given)})" if given else name


def _recipe_text() -> str:
    return recipes.build("cifar10-fast").to_toml(comments=True)


def _study_text() -> str:
    return studies.build("augmentation").to_toml()


def _read_recipe(path: Path) -> None:
    check(from_toml(path))


def _read_study(path: Path) -> None:
    study = study_from_toml(path)
    for arm, seed in study.runs()[:20]:
        study.recipe(arm, seed)


KINDS: dict[str, Callable[[Path], Callable[[np.random.Generator], None]]] = {
    "words": lambda _: words,
    "training": lambda _: training,
    "specification": lambda _: specification,
    "recipe": lambda folder: partial(text, _recipe_text(), _read_recipe, folder),
    "values of a recipe": lambda folder: partial(values, _recipe_text(), _read_recipe, folder),
    "study": lambda folder: partial(text, _study_text(), _read_study, folder),
    "values of a study": lambda folder: partial(values, _study_text(), _read_study, folder),
}
EACH = 300
"""Texts of each kind: 2,100 in all."""
FEW = 10
"""Of each kind in every suite."""


def try_texts(kind: str, numbers: range, folder: Path) -> int:
    """Try these texts of a kind; how many were taken."""
    attempt, taken = KINDS[kind](folder), 0
    for number in numbers:
        start = time.monotonic()
        with one_line_at_most(f"{kind}, number {number}"):
            try:
                attempt(np.random.default_rng([number, *kind.encode()]))
                taken += 1
            except UserError as error:
                assert len(str(error)) < 12_000
                raise
        assert time.monotonic() - start < SECONDS, f"{kind}, number {number}"
    return taken


@pytest.fixture(autouse=True)
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine has: networks above 100 million parameters are never built here."""
    monkeypatch.setattr(memory, "free", lambda: 1 << 30)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS)
def test_a_few_texts_of_every_kind(kind: str, tmp_path: Path) -> None:
    assert try_texts(kind, range(FEW), tmp_path) < FEW


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_every_text(kind: str, tmp_path: Path) -> None:
    assert 0 < try_texts(kind, range(EACH), tmp_path) < EACH
