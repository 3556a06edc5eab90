"""What is too long, too deep, too large or needs too much memory is one line, said before it is taken."""

import os
import time

import pytest
import torch
from torch import nn

from thirtytwo import memory, toml
from thirtytwo.augment import augmentations
from thirtytwo.data.load import load
from thirtytwo.errors import UserError
from thirtytwo.models import models
from thirtytwo.models.classifier import build_network
from thirtytwo.recipe import Recipe, parse_assignments
from thirtytwo.recipes import find
from thirtytwo.spec import Spec, parse_chain
from thirtytwo.study.definition import Study

NINES, DEEP = "9" * 5000, "[" * 5000


@pytest.mark.parametrize(
    "words",
    [
        f"seed={NINES}", "seed=9223372036854775808", f"split_seed=-{NINES}", f"batch_size=0x{NINES}", f"val={NINES}",
        f"optim.betas={DEEP}", f"val={DEEP}", f"optim.betas={DEEP}{']' * 5000}", f"model={DEEP}",
        f"augment=cutout({NINES})", f"augment=flip({DEEP})",
        "augment=translate(9223372036854775807)", "augment=translate(2000, 'zero')",
        "augment=rotate(1e999)", "augment=noise(1e300)", f"{'x' * 10**6}=3", f"name={'x' * 300}", "limit=1e30",
        f"model={'-' * 3000}1", f"augment={'flip|' * 10_000}flip", "model=wideresnet(depth=1000000)", "seed=inf",
        f"val={'a.' * 100_000}a",
    ],
)  # fmt: skip
def test_a_word_beyond_all_measure_is_one_short_line(words):
    start = time.monotonic()
    with pytest.raises(UserError) as error:
        recipe = Recipe().override(parse_assignments([words]))
        models.check(recipe.model)
        for spec in parse_chain(recipe.augment):
            augmentations.build(spec)
    assert len(str(error.value)) < 500 and time.monotonic() - start < 5


@pytest.mark.parametrize("length", [256, 5000, 10**6])
def test_a_name_longer_than_the_file_system_takes(cli, length):
    name = "x" * length
    for words in ([f"source={name}"], [f"source={name}/y"], [f"teacher=run:{name}"], [f"model=run:{name}"]):
        with pytest.raises(UserError) as error:
            load(words[0].partition("=")[2]) if "source" in words[0] else Recipe().override(parse_assignments(words))
            find(name)
        assert len(str(error.value)) < 6000
    if length < 10**6:
        done = cli("train", name)
        assert done.code == 2 and done.err.count("\n") == 1 and "longer than a file's can be" in done.err


def test_a_name_that_no_file_can_have():
    for name in ("a\0b", "a\ud800b"):
        with pytest.raises(UserError, match="not a name that a file can have"):
            load(f"./{name}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = " + "[" * 5000 + "]" * 5000, "nested more than"),
        ("a = " + "[" * 30 + "]" * 30, "nested more than"),
        (".".join("a" * 50) + " = 1", "nested more than"),
        (".".join("a" * 50_000) + " = 1", "dots"),
        ("a = 9223372036854775808", "more than 64 bits"),
        (f"a = {NINES}", "4300"),
        ("a = 'x'\n" * 100_000, "larger than 256 KiB"),
    ],
)
def test_a_toml_file_is_bounded_before_it_is_parsed(tmp_path, text, says):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    start = time.monotonic()
    with pytest.raises(UserError, match=says):
        toml.read(file)
    assert time.monotonic() - start < 3
    with pytest.raises(ValueError, match=says):
        toml.loads(text)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs an endless file")  # noqa: PTH110
def test_an_endless_file_is_no_recipe(tmp_path):
    file = tmp_path / "mine.toml"
    file.symlink_to("/dev/zero")
    with pytest.raises(UserError, match="larger than 256 KiB"):
        find(str(file))


def test_the_largest_study_that_anyone_writes_is_read(tmp_path):
    arms = {f"arm-{i}": {"optim.lr": 0.1 + i, "augment": "flip|translate(2)", "train.epochs": 3} for i in range(200)}
    study = Study(name="many", base="digits-cnn", arms=arms, seeds=list(range(100)))
    (tmp_path / "many.toml").write_text(study.to_toml())
    assert len(toml.read(tmp_path / "many.toml")["arms"]) == 200


@pytest.mark.parametrize("spec", ["cnn2(width=30000)", "wideresnet(depth=1000, width=1000)", "vgg8(hidden=100000)"])
def test_a_network_that_does_not_fit_in_memory_is_refused_before_it_is_built(spec, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 300 << 20)
    start = time.monotonic()
    with pytest.raises(UserError, match=r"GB of memory, 0\.3 GB are free: make it smaller"):
        build_network(spec, 3, 10, (32, 32))
    assert time.monotonic() - start < 10


def test_images_and_batches_that_do_not_fit_in_memory_are_refused(monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 100 << 20)
    build_network("cnn2", 3, 10, (32, 32))
    with pytest.raises(UserError, match=r"with 5,000 images at once needs at least 1\.0 GB"):
        build_network("cnn2", 3, 10, (32, 32), batch=5000)
    with pytest.raises(UserError, match=r"1,797 images of 1024x1024 pixels need at least 3\.8 GB"):
        load("digits", size=1024)


def test_an_estimate_leaves_no_trace_and_a_network_that_cannot_be_sketched_is_built_all_the_same():
    with models.temporary():

        @models.register
        def odd(channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
            """Its width is a number that is drawn."""
            width, inputs = int(torch.rand(1).item() * 3) + 2, channels * size[0] * size[1]
            return nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.Linear(width, classes))

        torch.manual_seed(3)
        alone = odd(1, 10, (8, 8)).state_dict()
        torch.manual_seed(3)
        built = build_network("odd", 1, 10, (8, 8)).module.state_dict()
        assert all(torch.equal(alone[name], built[name]) for name in alone)
    torch.manual_seed(3)
    alone = models.build("speednet", channels=1, classes=10, size=(8, 8)).module.state_dict()
    torch.manual_seed(3)
    built = build_network("speednet", 1, 10, (8, 8)).module.state_dict()
    assert all(torch.equal(alone[name], built[name]) for name in alone)


def test_what_a_spec_may_hold_has_no_effect_on_what_it_holds_today():
    text = "f(9223372036854775807, -9223372036854775807, 1e308, [[[[1]]]], 'x')"
    assert Spec.parse(text).args == (2**63 - 1, 1 - 2**63, 1e308, [[[[1]]]], "x")
