"""What a machine can do: that everything is measured, and that the advice follows from what was measured."""

import json
import re
from dataclasses import replace

import pytest
import torch

from thirtytwo import bench as measuring
from thirtytwo.bench import Bench, bench
from thirtytwo.device import Device


@pytest.fixture
def quick(monkeypatch):
    for name, value in {
        "SECONDS": 0.01,
        "REPEATS": 1,
        "IMAGES": 64,
        "BATCH": 16,
        "BATCHES": (8, 16),
        "THREADED": 8,
    }.items():
        monkeypatch.setattr(measuring, name, value)


def test_it_measures_everything_and_leaves_the_process_as_it_was(quick, cli):
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    found = json.loads(cli("bench", "--device", "cpu", "--json").out)
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), state)
    for rates in (found["products"], found["convolutions"], found["steps"]):
        assert {*rates} == {"float32", "bf16"} and min(rates.values()) > 0
    assert found["feed"] > 0 and {*found["batches"]} == {"8", "16"} and found["device"]["processor"]
    assert {*map(int, found["threads"])} == {1, threads}
    shown = cli("bench", "--device", "cpu").out
    for label in ("matrix product", "convolution", "feed", "training step", "batch size"):
        assert re.search(rf"^{label} .*\d", shown, re.MULTILINE)
    assert cli("bench", "--device", "abacus").code == 2


def test_the_advice_follows_from_what_was_measured():
    device = {"precision": "float32", "device": "cpu"}
    steps = {"float32": 100.0, "bf16": 250.0}
    batches = {32: 200.0, 128: 298.0, 512: 300.0, 2048: 290.0}
    found = Bench(device, {}, {}, 1e4, steps, batches, {1: 100.0, 2: 150.0})
    precision, batch, threads, epoch = found.advice()
    assert precision.startswith("bf16 trains 2.5 times as fast as float32") and "set train.precision=bf16" in precision
    assert "use it, as train.precision=auto does" in replace(found, device={**device, "precision": "bf16"}).advice()[0]
    assert batch.startswith("batches of 128 images"), "the smallest that is nearly as fast as the best"
    assert threads.startswith("2 threads train 1.50 times as fast as one")
    assert "takes cifar10-fast 167 s here" in epoch and "is 3.0% of that" in epoch
    assert len(replace(found, threads={}).advice()) == 3


def test_a_rate_is_what_was_done_in_a_second(monkeypatch):
    """With a clock on which each pass takes a quarter of a second."""
    now = [0.0]
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: now[0])
    rate = measuring._rate(lambda: now.__setitem__(0, now[0] + 0.25), 10, Device(torch.device("cpu"), "float32"))
    assert rate == pytest.approx(40)


def test_every_part_is_said_before_it_is_measured(quick):
    said: list[str] = []
    bench("cpu", said.append)
    assert len(said) == len({*said}) == 6
