"""Files of weights, changed at random: each is read and fits the network, or is refused in one line; nothing runs.

A failure names its kind and number: `pytest "tests/fuzz/test_fuzz_weights.py::test_every_file[archive]"` repeats it.
"""

import argparse
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mutations import contents, mutated, one_line_at_most
from safetensors.torch import save as save_tensors

from thirtytwo.models.classifier import build_network
from thirtytwo.models.weights.file import read
from thirtytwo.models.weights.fit import fitted

MODEL = "cnn2(width=2)"
torch.manual_seed(0)
NET = build_network(MODEL, 1, 10, (8, 8)).module
STATE = NET.state_dict()
CHECKPOINT = {
    "state_dict": {f"module.{name}": tensor for name, tensor in STATE.items()}, "args": argparse.Namespace(lr=0.1),
    "epoch": 3, "best_acc": np.float64(91.0),
    "optimizer": {"state": {0: {"step": torch.ones(1)}}, "param_groups": [{"lr": 0.1}]},
}  # fmt: skip


def saved(value: object, *, archive: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=archive)
    return buffer.getvalue()


def as_they_are(data: bytes) -> bytes:
    return data


def pickle_of(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read("archive/data.pkl")


def archived(data: bytes) -> Callable[[bytes], bytes]:
    """Puts another pickle into an archive, whose checksums then agree."""

    def wrap(pickled: bytes) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(buffer, "w") as changed:
            for entry in archive.infolist():
                own = entry.filename == "archive/data.pkl"
                changed.writestr(zipfile.ZipInfo(entry.filename), pickled if own else archive.read(entry))
        return buffer.getvalue()

    return wrap


def header_of(data: bytes) -> bytes:
    return data[8 : 8 + int.from_bytes(data[:8], "little")]


def with_header(data: bytes) -> Callable[[bytes], bytes]:
    """Puts another header before the tensors, whose length then agrees."""
    rest = data[8 + len(header_of(data)) :]
    return lambda header: len(header).to_bytes(8, "little") + header + rest


PLAIN, WRAPPED, SAFE = saved(STATE), saved(CHECKPOINT), save_tensors(STATE)
KINDS: dict[str, tuple[str, bytes, Callable[[bytes], bytes]]] = {
    "archive": ("net.pth", PLAIN, as_they_are),
    "pickle in an archive": ("net.pth", pickle_of(PLAIN), archived(PLAIN)),
    "checkpoint": ("net.ckpt", WRAPPED, as_they_are),
    "pickle in a checkpoint": ("net.ckpt", pickle_of(WRAPPED), archived(WRAPPED)),
    "old": ("net.bin", saved(STATE, archive=False), as_they_are),
    "safetensors": ("net.safetensors", SAFE, as_they_are),
    "header of safetensors": ("net.safetensors", header_of(SAFE), with_header(SAFE)),
}
"""The name of the file, what is changed, and what is then made of it."""
EACH = 300
"""Files of each kind: 2,100 in all."""
FEW = 20
"""Of each kind in every suite."""


def try_files(kind: str, numbers: range, folder: Path) -> int:
    """Read these changed files of a kind; how many still held the network's weights."""
    name, original, wrap = KINDS[kind]
    file, whole = folder / name, 0
    for number in numbers:
        generator = np.random.default_rng([number, *kind.encode()])
        file.write_bytes(wrap(mutated(original, generator)))
        before = contents(folder)
        with one_line_at_most(f"{kind}, number {number}"):
            tensors = fitted(read(file).tensors, NET, MODEL, file)
            NET.load_state_dict(tensors)
            whole += 1
        assert contents(folder) == before
    return whole


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_are_read_before_they_are_changed(kind: str, tmp_path: Path) -> None:
    name, original, wrap = KINDS[kind]
    (tmp_path / name).write_bytes(wrap(original))
    found = read(tmp_path / name).tensors
    assert all(torch.equal(found[key], tensor) for key, tensor in STATE.items())


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS)
def test_a_few_files_of_every_kind(kind: str, tmp_path: Path) -> None:
    assert try_files(kind, range(FEW), tmp_path) < FEW, "some are damaged"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
def test_every_file(kind: str, tmp_path: Path) -> None:
    assert 0 < try_files(kind, range(EACH), tmp_path) < EACH
