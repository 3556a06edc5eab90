import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thirtytwo.errors import UserError
from thirtytwo.files import sha256
from thirtytwo.runs import checkpoint


def tensors(step=0):
    draw = torch.Generator().manual_seed(step)
    return {
        "filters": torch.randn(4, 3, 3, 3, generator=draw).to(memory_format=torch.channels_last),
        "half": torch.randn(5, generator=draw).bfloat16(),
        "count": torch.tensor(step),
        "empty": torch.zeros(0, 2),
    }


def state(step):
    best = {"loss": None, "waited": 0}
    return {"step": step, "seconds": 1.5, "best": best, "schedule": {"best": float("inf")}, "average_steps": step}


def test_saving_and_loading_is_identity_strides_included(tmp_path):
    checkpoint.save(tmp_path, 7, tensors(7), state(7))
    found, there, damaged = checkpoint.newest(tmp_path)
    assert damaged == [] and there == state(7)
    for name, tensor in tensors(7).items():
        assert torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype
        assert found[name].stride() == tensor.stride()


def test_two_are_kept_and_the_newest_wins(tmp_path):
    for step in (1, 20, 300, 4000):
        checkpoint.save(tmp_path, step, tensors(step), state(step))
    assert checkpoint.steps(tmp_path) == [300, 4000]
    assert checkpoint.newest(tmp_path)[1] == state(4000)


def test_a_damaged_one_takes_no_place_of_a_good_one(tmp_path):
    for step in (10, 20, 15):  # 20 was damaged: the training went on from 10
        checkpoint.save(tmp_path, step, tensors(step), state(step))
    assert checkpoint.steps(tmp_path) == [10, 15]


def test_nothing_yet(tmp_path):
    assert checkpoint.newest(tmp_path / "none") is None


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_found_and_the_older_checkpoint_wins(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("run")
    checkpoint.save(folder, 1, tensors(1), state(1))
    checkpoint.save(folder, 2, tensors(2), state(2))
    path = folder / "step-000002" / data.draw(st.sampled_from(["tensors.safetensors", "state.json", "MANIFEST.json"]))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    if path.name == "MANIFEST.json" and json_or_none(content) == {**json_or_none(content), **manifest(folder)}:
        return  # the flip changed white space or the step, which nothing reads
    found, there, damaged = checkpoint.newest(folder)
    assert there == state(1) and torch.equal(found["half"], tensors(1)["half"])
    assert len(damaged) == 1 and "step-000002" in damaged[0] and "damaged" in damaged[0]


def json_or_none(content):
    try:
        return json.loads(content)
    except ValueError:
        return {}


def manifest(folder):
    files = {name: (folder / "step-000002" / name).read_bytes() for name in ("tensors.safetensors", "state.json")}
    return {"sha256": {name: sha256(content) for name, content in files.items()}}


def test_when_none_is_valid_it_is_one_line(tmp_path):
    checkpoint.save(tmp_path, 1, tensors(), state(1))
    (tmp_path / "step-000001" / "state.json").unlink()
    with pytest.raises(UserError, match=r"step-000001.*no valid checkpoint is left"):
        checkpoint.newest(tmp_path)


def test_a_write_that_was_cut_short_is_never_taken_for_a_checkpoint(tmp_path):
    checkpoint.save(tmp_path, 1, tensors(1), state(1))
    shutil.copytree(tmp_path / "step-000001", tmp_path / ".step-000002.tmp")
    assert checkpoint.steps(tmp_path) == [1]
    checkpoint.save(tmp_path, 2, tensors(2), state(2))
    assert checkpoint.steps(tmp_path) == [1, 2] and not list(tmp_path.glob(".*"))


def test_truncated_and_foreign_weights_are_one_line(tmp_path):
    data = checkpoint.pack(tensors())
    for content in (data[: len(data) // 2], b"", b"\x80\x04cos\nsystem\n(S'true'\ntR.", data[:8] + b"x" * 100):
        with pytest.raises(UserError, match="damaged"):
            checkpoint.unpack(content, tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("model.network.0.weight", None, "model.network.0.weight is missing"),
        ("model.network.0.weight", lambda each: each.double(), "model.network.0.weight is torch.float64 (4, 1, 3, 3)"),
        ("average.network.6.bias", lambda each: each[:3], "average.network.6.bias is torch.float32 (3,), not"),
        ("best.network.2.bias", None, "best.network.2.bias is missing"),
        ("best.network.9.bias", lambda _: torch.zeros(4), "best.network.9.bias is not part of it"),
        ("optimizer.0.3.exp_avg", lambda each: each[None], "the optimizer's 0.3.exp_avg is (1, 4)"),
        ("optimizer.0.3.exp_avg", None, "the optimizer has"),
        ("optimizer.7.3.exp_avg", lambda _: torch.zeros(4), "the optimizer has no 7.3.exp_avg"),
        ("optimizer.0.99.exp_avg", lambda _: torch.zeros(4), "the optimizer has exp_avg for parameter 0.99"),
        ("optimizer.momentum", lambda _: torch.zeros(4), "the optimizer has no momentum"),
        ("losses", None, "losses and hits"),
        ("hits", lambda each: each[:1], "losses and hits differ in number"),
    ],
)
def test_tensors_that_do_not_fit_are_named_with_their_file(name, change, said, tmp_path, cli):
    """The hashes fit: whoever changed the file has written the manifest again."""
    run = Path(shutil.copytree(Path(__file__).parent / "before" / "interrupted", tmp_path / "run"))
    found, there, _ = checkpoint.newest(run / "checkpoints")
    if change is None:
        del found[name]
    else:
        found[name] = change(found.get(name))
    checkpoint.save(run / "checkpoints", there["step"], found, there)
    done = cli("train", "--resume", run)
    file = run / "checkpoints" / f"step-{there['step']:06d}" / "tensors.safetensors"
    assert done.code == 2 and f"{file}: does not fit the recipe ({said}" in done.err, done.err
    assert done.err.count("\n") == 1


def test_a_state_of_another_step_is_damaged(tmp_path):
    checkpoint.save(tmp_path, 1, tensors(), state(1))
    (tmp_path / "step-000001").rename(tmp_path / "step-000007")
    with pytest.raises(UserError, match=r"step-000007/state.json: damaged, it is of step 1"):
        checkpoint.newest(tmp_path)
