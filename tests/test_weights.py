"""Files of weights that other programs wrote: the state dict is found wherever it is, and nothing in the file runs."""

import argparse
import io
import pickle
import zipfile
from collections import OrderedDict, defaultdict, deque
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from thirtytwo.errors import UserError
from thirtytwo.models.classifier import build_network
from thirtytwo.models.weights.file import read, unpacked
from thirtytwo.models.weights.fit import fitted

MODEL = "speednet(widths=(4, 4, 4))"
OPTIMIZER = {"state": {0: {"exp_avg": torch.zeros(4, 4)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return build_network(MODEL, 1, 10, (8, 8)).module


def pre(prefix, state):
    return OrderedDict((prefix + name, tensor) for name, tensor in state.items())


def zeros(state):
    return {name: tensor * 0 for name, tensor in state.items()}


class Settings(dict):
    """A user's own subclass of dict, as EasyDict and yacs have."""


class Slotted:
    __slots__ = ("lr",)

    def __init__(self):
        self.lr = 0.1


WRAPPINGS = {
    "pytorch-cifar": lambda s: {"net": pre("module.", s), "acc": 95.1, "epoch": 199},
    "a key that nobody has heard of": lambda s: {"my_weights": s, "note": "final"},
    "three levels": lambda s: {"checkpoint": {"model": {"state_dict": s}, "epoch": 3}},
    "ImageNet's example": lambda s: {"epoch": 3, "arch": "x", "state_dict": s, "best_acc1": torch.tensor(91.0),
                                     "optimizer": OPTIMIZER, "scheduler": {"last_epoch": 3}},
    "Lightning": lambda s: {"state_dict": pre("model.", s), "optimizer_states": [OPTIMIZER], "lr_schedulers": [],
                            "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.9)}}},
    "Lightning with a loss": lambda s: {"state_dict": {**pre("net.", s), "criterion.weight": torch.ones(10)}},
    "layers beside a loss": lambda s: {"state_dict": {**s, "train_loss.weight": torch.ones(10)}},
    "compiled by Lightning": lambda s: {"state_dict": pre("model._orig_mod.", s)},
    "prefixes in some order": lambda s: pre("_orig_mod.module.net._orig_mod.", s),
    "a part of it in parallel": lambda s: {
        name.replace("groups.", "groups.module.", 1): tensor for name, tensor in s.items()
    },
    "fastai": lambda s: {"model": s, "opt": {"state": [{"grad_avg": torch.zeros(4, 4)}], "hypers": [{"lr": 0.1}]}},
    "an average alone": lambda s: {"ema_state_dict": s, "epoch": 2},
    "an average beside": lambda s: {"state_dict": s, "state_dict_ema": zeros(s)},
    "torchvision's average": lambda s: {"model": s, "model_ema": {"n_averaged": torch.tensor(7), **zeros(s)}},
    "an average of torch": lambda s: {"n_averaged": torch.tensor(7), **pre("module.", s)},
    "an average in one state dict": lambda s: {**pre("model.", s), **pre("model_ema.", zeros(s))},
    "without counters": lambda s: {k: v for k, v in s.items() if not k.endswith("num_batches_tracked")},
    "a list of both": lambda s: [s, OPTIMIZER, 3],
    "a list of tensors": lambda s: [*s.values()],
    "parameters": lambda s: {k: nn.Parameter(v) if v.is_floating_point() else v for k, v in s.items()},
    "numbers among them": lambda s: {**s, "epoch": 3, "name": "net"},
    "NumPy's number": lambda s: {"state_dict": s, "best_acc": np.float64(91.0), "curve": np.arange(3)},
    "arguments": lambda s: {"state_dict": s, "args": argparse.Namespace(lr=0.1), "path": Path("x")},
    "objects": lambda s: {"state_dict": s, "config": Settings(lr=0.1), "slots": Slotted(), "t": np.dtype("f4")},
    "in a default dict": lambda s: {"model": s, "seen": defaultdict(int, {"x": 1})},
}  # fmt: skip


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_the_state_dict_is_found_in_every_wrapping(net, tmp_path, wrapping):
    state, file = net.state_dict(), tmp_path / "net.ckpt"
    torch.save(WRAPPINGS[wrapping](state), file)
    found = fitted(read(file).tensors, net, MODEL, file)
    assert found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)


@pytest.mark.parametrize("suffix", [".pth", ".PT", ".bin", ".ckpt", ".pth.tar", ".safetensors", ".model", ""])
@pytest.mark.parametrize("how", ["zip", "old", "safetensors"])
def test_a_file_is_what_it_holds_not_what_it_is_called(net, tmp_path, suffix, how):
    from safetensors.torch import save_file

    state, file = net.state_dict(), tmp_path / f"net{suffix}"
    if how == "safetensors":
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, file)
    else:
        torch.save(state, file, _use_new_zipfile_serialization=how == "zip")
    assert all(torch.equal(tensor, state[name]) for name, tensor in read(file).tensors.items())


def test_what_was_taken_and_left_is_said(net, tmp_path, caplog):
    state, file = net.state_dict(), tmp_path / "net.pth"
    torch.save({"net": state, "acc": 95.1, "epoch": 3}, file)
    assert read(file).taken == "net; left acc, epoch" and not caplog.text
    torch.save({"model": {"state_dict": state, "x": 1}, "model_ema": zeros(state)}, file)
    assert read(file).taken == "model.state_dict; left model_ema, model.x"
    assert "took model.state_dict; --key takes the other, model_ema" in caplog.text
    assert not read(file, "model_ema").tensors["head.weight"].any()
    torch.save(state, file)
    assert read(file).taken == ""
    torch.save({"state_dict": {**pre("net.", state), "criterion.weight": torch.ones(10)}}, file)
    fitted(read(file).tensors, net, MODEL, file)
    assert "left out what is not the network's: criterion.weight" in caplog.text


def test_two_networks_are_refused_by_name_and_each_is_taken_by_its_key(net, tmp_path):
    state, file = net.state_dict(), tmp_path / "gan.pth"
    torch.save({"G": state, "D": zeros(state), "optimizer_G": OPTIMIZER}, file)
    with pytest.raises(UserError, match=r"holds 2 networks \(G, D\): say which with --key"):
        read(file)
    assert torch.equal(read(file, "G").tensors["head.weight"], state["head.weight"])
    assert not read(file, "D").tensors["head.weight"].any()
    with pytest.raises(UserError, match="no state dict called H: --key takes G, D"):
        read(file, "H")
    torch.save({"state_dict": {**pre("student.", state), **pre("teacher.", zeros(state))}}, file)
    with pytest.raises(UserError, match=r"holds 2 networks \(student, teacher\)"):
        fitted(read(file).tensors, net, MODEL, file)
    for key in ("teacher", "state_dict.teacher"):
        assert not fitted(read(file, key).tensors, net, MODEL, file)["head.weight"].any()


def test_the_key_of_the_command_line_takes_the_other_weights(cli, tmp_path):
    state = build_network("cnn2(width=2)", 1, 10, (8, 8)).module.state_dict()
    file = tmp_path / "net.tar"
    torch.save({"G": state, "D": {"x": torch.ones(3, 3)}, "epoch": 3}, file)
    words = (file, "digits-cnn", "model=cnn2(width=2)", "--mean", "0.3", "--std", "0.4", "--out", tmp_path / "runs")
    refused = cli("import", *words)
    assert refused.code == 2 and "--key G" in refused.err and refused.err.count("\n") == 1
    done = cli("import", *words, "--key", "G")
    assert done.code == 0 and "taken: G; left D, epoch" in done.out, done.err


def touch(marker):
    Path(marker).touch()


class Runs:
    """Unpickling it would make a file."""

    def __init__(self, marker, how):
        self.marker, self.how = marker, how

    def __reduce__(self):
        return self.how, (self.marker,)


@pytest.mark.parametrize(
    ("how", "old", "opened"), [(touch, False, True), (touch, True, False), (Path.touch, False, False)]
)
def test_an_object_beside_the_weights_is_left_or_refused_and_never_run(net, tmp_path, how, old, opened):
    """In the first format it is not known what a pickle asks for before it is read; a call of a call is no data."""
    state, marker, file = net.state_dict(), tmp_path / "ran", tmp_path / "net.pth"
    more = Runs(marker, how)
    torch.save({"a": {**state, "x": more}, "b": [more]}, file, _use_new_zipfile_serialization=not old)
    if opened:
        assert read(file).tensors.keys() == state.keys()
    else:
        with pytest.raises(UserError, match="could run code"):
            read(file)
    torch.save({"net": nn.Linear(2, 2), "x": more}, file)
    with pytest.raises(UserError, match="holds more than weights"):
        read(file)
    torch.save({"net": state, "last": deque([1], 3)}, file)
    with pytest.raises(UserError, match="asks for collections"):
        read(file)
    assert not marker.exists()
    pickle.loads(pickle.dumps(more))  # noqa: S301  (the bait is real)
    assert marker.exists()


def test_files_that_would_fill_the_memory_are_refused(net, tmp_path):
    file, buffer = tmp_path / "net.pth", io.BytesIO()
    torch.save({"w": torch.zeros(2000, 2000)}, buffer)
    with zipfile.ZipFile(buffer) as stored, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in stored.infolist():
            packed.writestr(entry.filename, stored.read(entry))
    with pytest.raises(UserError, match="damaged"):
        read(file)
    torch.save({"w": torch.zeros(1).expand(10**6, 10**6)}, file)
    with pytest.raises(UserError, match="no state dict"):
        read(file)
    itself: dict = {}
    itself |= {"a": itself, "b": [itself, itself]}
    file.write_bytes(pickle.dumps(itself, protocol=2))
    with pytest.raises(UserError):
        unpacked(file.read_bytes(), file)
