"""Weights that leave and weights that come in: nothing is lost, and nothing that came from elsewhere runs."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import thirtytwo
from thirtytwo.device import Device
from thirtytwo.errors import UserError
from thirtytwo.models.classifier import build_network
from thirtytwo.models.weights.file import pack, unpacked
from thirtytwo.recipes import find
from thirtytwo.runs import export as export_module
from thirtytwo.runs.imported import import_weights
from thirtytwo.runs.loading import load_classifier
from thirtytwo.runs.run import Run

NORMALISED = {"mean": (0.5,), "std": (0.25,)}


class Net(nn.Module):
    """The network of PyTorch's first tutorial on images, for 32 x 32 RGB, as its readers write it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv in (self.conv1, self.conv2):
            x = torch.max_pool2d(conv(x).relu(), 2)
        return self.fc3(self.fc2(self.fc1(x.flatten(1)).relu()).relu())


@pytest.fixture(scope="session")
def colour_digits(tmp_path_factory) -> str:
    """Digits enlarged to 32 x 32 RGB, a file that stands for CIFAR-10."""
    digits = load_digits()
    images = np.kron(digits.images[:600], np.ones((4, 4)))[..., None].repeat(3, -1)
    path = tmp_path_factory.mktemp("data") / "colour.npz"
    np.savez(path, x_train=(images * 15.9375).astype(np.uint8), y_train=digits.target[:600])
    return str(path)


@pytest.fixture
def exported(trained, tmp_path) -> Path:
    """The trained run's network as a .pth file, with its card."""
    return thirtytwo.open_run(trained, device="cpu").export(tmp_path / "net.pth")


def digits_network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_network("cnn2", channels=1, classes=10, size=(8, 8)).module


def saved(value: object, path: Path) -> Path:
    torch.save(value, path)
    return path


@pytest.mark.parametrize("suffix", ["pth", "pt", "safetensors"])
def test_export_then_import_is_the_identity(trained, tmp_path, suffix):
    file = thirtytwo.open_run(trained, device="cpu").export(tmp_path / f"net.{suffix}")
    again = thirtytwo.import_run(file, out=tmp_path, device="cpu", test=True)
    before = Run.open(trained)
    assert again.run.recipe == before.recipe and again.run.card == before.card
    assert again.run.split == before.split
    device = Device.choose("cpu", "float32")
    old, new = (load_classifier(run, device).state_dict() for run in (before, again.run))
    assert old.keys() == new.keys() and all(torch.equal(old[name], new[name]) for name in old)
    for split in ("val", "test"):
        then, now = before.predictions(split)[0], again.run.predictions(split)[0]
        assert (then.logits == now.logits).all() and (then.ids == now.ids).all()
    assert [look["by"] for look in again.run.looks()] == ["import"]


def test_plain_pytorch_loads_it_and_gives_the_runs_logits(trained, exported):
    card = json.loads(Path(f"{exported}.json").read_bytes())
    network = build_network(card["model"], card["channels"], len(card["classes"]), tuple(card["size"])).module.eval()
    state = torch.load(exported, weights_only=True)
    network.load_state_dict(state)
    assert list(state) == list(network.state_dict())
    found = Run.open(trained)
    images = torch.rand(16, card["channels"], *card["size"])
    normalised = (images - torch.tensor(card["mean"])[:, None, None]) / torch.tensor(card["std"])[:, None, None]
    with torch.no_grad():
        mine = load_classifier(found, Device.choose("cpu", "float32"))(images)
        torch.testing.assert_close(network(normalised), mine)
    assert card["classes"] == list("0123456789") and card["recipe"]["name"] == "digits-cnn"


def test_export_says_what_the_network_expects_and_overwrites_nothing(cli, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = cli("export", trained)
    assert done.code == 0, done.err
    assert "the same logits" in done.out and "grey images 8x8 in 0..1, minus (0.3" in done.out
    assert {path.name for path in tmp_path.iterdir()} == {"digits-cnn.pth", "digits-cnn.pth.json"}
    again = cli("export", trained)
    assert again.code == 2 and "digits-cnn.pth: exists already" in again.err
    Path("digits-cnn.pth").unlink()
    assert "digits-cnn.pth.json: exists already" in cli("export", trained).err
    assert json.loads(cli("export", trained, "--format", "safetensors", "--json").out)["file"] == (
        "digits-cnn.safetensors"
    )
    wrong = cli("export", trained, "net.bin")
    assert wrong.code == 2 and "net.bin: not a name" in wrong.err and not Path("net.bin").exists()
    assert "No such file" in cli("export", trained, "no/folder/net.pth").err


def test_a_disk_that_gives_back_other_weights_leaves_no_file(trained, tmp_path, monkeypatch):
    other = pack(digits_network(1).state_dict(), Path("x.pth"))
    monkeypatch.setattr(export_module, "write_atomic", lambda path, data: path.write_bytes(other))
    with pytest.raises(UserError, match="differ from those written"):
        export_module.export(Run.open(trained), tmp_path / "net.pth")
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_not_trained_is_not_exported(cli, run_copy, tmp_path):
    (run_copy / "model.json").unlink()
    done = cli("export", run_copy, tmp_path / "net.pth")
    assert done.code == 2 and "not trained to its end" in done.err and not (tmp_path / "net.pth").exists()


def test_an_imported_run_goes_through_every_verb_and_says_what_it_is(cli, exported, tmp_path):
    done = cli("import", exported, "--out", tmp_path / "runs")
    run = tmp_path / "runs" / "digits-cnn-1"
    assert done.code == 0, done.err
    assert f"imported from {exported}" in done.out and "test not looked at" in done.out
    assert "imported" in cli("runs", "list", tmp_path / "runs").out
    assert f"imported from {exported}" in cli("runs", "show", run).out
    assert cli("report", run).code == 0
    page = (run / "report.html").read_text()
    assert f"imported from {exported}, not trained here" in page and "To train it again" not in page
    assert cli("export", run, tmp_path / "again.pth").code == 0
    assert (tmp_path / "again.pth").read_bytes() == exported.read_bytes()
    assert "look 1" in cli("test", run).out
    resumed = cli("train", "--resume", run)
    assert resumed.code == 2 and "was imported" in resumed.err and resumed.err.count("\n") == 1


def test_the_tutorials_own_file_is_taken_in_its_order(cli, colour_digits, tmp_path, caplog):
    torch.manual_seed(0)
    net = Net()
    file = saved(net.state_dict(), tmp_path / "cifar_net.pth")
    words = ("cifar10-tutorial", f"data.source={colour_digits}", "train.precision=float32")
    done = cli("import", file, *words, "--mean", "0.5", "--std", "0.5,0.5,0.5", "--out", tmp_path, "--device", "cpu")
    assert done.code == 0, done.err
    assert "conv1.weight" in caplog.text
    run = Run.open(tmp_path / f"{Path(colour_digits).stem}-cifar10-tutorial-1")
    assert run.card["mean"] == [0.5] * 3
    images = torch.rand(8, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            load_classifier(run, Device.choose("cpu", "float32"))(images), net((images - 0.5) / 0.5)
        )


def test_what_a_fine_tuned_network_began_with_is_not_needed_to_import_it(cli, run_copy, tmp_path):
    tuned = thirtytwo.train(
        "digits-cnn", model=f"run:{run_copy}", epochs=0.2, device="cpu", out=tmp_path, test=False, progress=False
    )
    file = tmp_path / "tuned.safetensors"
    assert cli("export", tuned.path, file).code == 0
    shutil.rmtree(run_copy)
    done = cli("import", file, "--out", tmp_path / "imported")
    assert done.code == 0, done.err


def test_grey_images_on_a_network_that_saw_colour_come_back(cli, colour_digits, tmp_path):
    settings = {"epochs": 0.2, "device": "cpu", "out": tmp_path, "test": False, "progress": False}
    recipe = find("digits-cnn").override({"data.source": colour_digits, "data.size": 8})
    colour = thirtytwo.train(recipe, **settings)
    grey = thirtytwo.train("digits-cnn", model=f"run:{colour.path}", **settings)
    file = tmp_path / "grey.safetensors"
    assert cli("export", grey.path, file).code == 0
    done = cli("import", file, "--out", tmp_path / "imported")
    assert done.code == 0, done.err
    again = Run.open(tmp_path / "imported" / "digits-cnn-1")
    before, after = (run.predictions("val")[0].logits for run in (Run.open(grey.path), again))
    np.testing.assert_array_equal(before, after)


def test_the_pretrained_weights_that_a_recipe_begins_with_are_not_needed_to_import_others(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    random = "torchvision/squeezenet1_1(input=32)"
    file = saved(build_network(random, 3, 10, (8, 8)).module.state_dict(), tmp_path / "net.pth")
    words = ("digits-cnn", "model=torchvision/squeezenet1_1(pretrained=True, input=32)", "--out", tmp_path / "runs")
    done = cli("import", file, *words)
    assert done.code == 2 and "no card beside it" in done.err and "--mean 0.485,0.456,0.406" in done.err
    own_size = "model=torchvision/squeezenet1_1(pretrained=True, input='weights')"
    assert "name the size" in cli("import", file, "digits-cnn", own_size).err
    assert not (tmp_path / "runs").exists()
    done = cli("import", file, *words, "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")
    assert done.code == 0, done.err
    card = Run.open(tmp_path / "runs" / "digits-cnn-1").card
    assert card["model"] == random and card["mean"] == pytest.approx([0.485, 0.456, 0.406])


def test_batch_norms_counters_may_be_missing(cli, tmp_path, caplog):
    model = "speednet(widths=(8, 8, 8))"
    state = build_network(model, 1, 10, (8, 8)).module.state_dict()
    old = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    assert len(old) < len(state)
    done = cli("import", saved(old, tmp_path / "old.pth"), "digits-cnn", f"model={model}", "--out", tmp_path)
    assert done.code == 0 and "order" not in caplog.text


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"lr": 0.1}},
        lambda state: {"model_state_dict": {f"module.{name}": tensor for name, tensor in state.items()}},
        lambda state: {f"module._orig_mod.{name}": tensor for name, tensor in state.items()},
    ],
)
def test_what_training_scripts_wrap_around_a_state_dict_is_taken_off(wrap, tmp_path):
    state = digits_network().state_dict()
    found = unpacked(saved(wrap(state), tmp_path / "net.pth").read_bytes(), tmp_path / "net.pth")
    assert found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)


def test_without_a_card_the_training_images_normalise_and_a_warning_says_so(tmp_path, trained, caplog):
    file = saved(digits_network().state_dict(), tmp_path / "net.pth")
    run = import_weights(file, find("digits-cnn"), out=tmp_path, device="cpu")
    card = Run.open(trained).card
    assert run.card["mean"] == card["mean"] and run.card["std"] == card["std"]
    assert "own mean and std" in caplog.text
    said = import_weights(file, find("digits-cnn"), **NORMALISED, out=tmp_path, device="cpu")
    assert said.card["mean"] == [0.5] and said.card["std"] == [0.25]


class Malicious:
    """What unpickling runs is a call of its choice: here, making a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("how", ["torch.save", "pickle", "inside a state dict"])
def test_a_malicious_pickle_is_refused_and_its_code_never_runs(cli, tmp_path, how):
    marker, file = tmp_path / "ran", tmp_path / "net.pth"
    state = {"0.weight": Malicious(marker)} if how == "inside a state dict" else Malicious(marker)
    if how == "pickle":
        file.write_bytes(pickle.dumps(state))
    else:
        torch.save(state, file)
    done = cli("import", file, "digits-cnn", "--out", tmp_path / "runs")
    assert done.code == 2 and done.err.count("\n") == 1
    assert f"{file}: not opened, it holds more than weights" in done.err
    assert not marker.exists() and not (tmp_path / "runs").exists()
    pickle.loads(pickle.dumps(Malicious(marker)))  # noqa: S301  (the bait is real)
    assert marker.exists()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.write_bytes(b"hello"), "net.pth"),
        (lambda path: path.write_bytes(path.read_bytes()[:-200]), "damaged"),
        (lambda path: path.unlink(), "No such file"),
        (lambda path: torch.save(torch.zeros(3), path), "no state dict"),
        (lambda path: torch.save({}, path), "no state dict"),
        (lambda path: torch.save({"0.weight": 3}, path), "no state dict"),
        (lambda path: torch.save({0: torch.zeros(1)}, path), "no state dict"),
        (lambda path: torch.save(digits_network(), path), "more than weights"),
        (lambda path: torch.save(Net().state_dict(), path), "does not fit the model cnn2"),
        (lambda path: torch.save({**digits_network().state_dict(), "more": torch.ones(1)}, path), "1 tensor too many"),
        (
            lambda path: torch.save({k: v for k, v in digits_network().state_dict().items() if k != "6.bias"}, path),
            "1 tensor missing, such as 6.bias",
        ),
        (
            lambda path: torch.save({**digits_network().state_dict(), "6.bias": torch.ones(3)}, path),
            "6.bias is (3,), not (10,)",
        ),
        (
            lambda path: torch.save({**digits_network().state_dict(), "6.bias": torch.full((10,), np.nan)}, path),
            "not finite",
        ),
    ],
)
def test_a_file_that_is_no_such_network_is_one_line_and_leaves_nothing(cli, tmp_path, make, says):
    file = saved(digits_network().state_dict(), tmp_path / "net.pth")
    make(file)
    done = cli("import", file, "digits-cnn", "--out", tmp_path / "runs")
    assert done.code == 2 and done.err.count("\n") == 1, done.err
    assert says in done.err and str(file) in done.err
    assert not (tmp_path / "runs").exists()


def test_a_flipped_bit_or_a_card_of_another_file_is_found(cli, exported, tmp_path):
    content = bytearray(exported.read_bytes())
    content[len(content) // 2] ^= 1
    exported.write_bytes(content)
    done = cli("import", exported, "--out", tmp_path / "runs")
    assert done.code == 2 and "whose sha256 differs" in done.err
    for text, says in (("{", "damaged"), ("[]", "damaged"), ('{"model": 3}', "damaged")):
        Path(f"{exported}.json").write_text(text)
        assert says in cli("import", exported, "--out", tmp_path / "runs").err
    assert not (tmp_path / "runs").exists()


def test_what_the_weights_are_for_must_be_said_and_must_be_true(cli, exported, colour_digits, tmp_path):
    out = ("--out", tmp_path / "runs")
    said = "the weights were trained on grey images, but these are RGB: set data.channels=1"
    assert said in cli("import", exported, f"source={colour_digits}", *out).err
    assert "belong together" in cli("import", exported, "--mean", "0.5", *out).err
    assert "3 numbers for images of 1 channel:" in cli("import", exported, "--mean", "1,2,3", "--std", "1", *out).err
    assert "above 0" in cli("import", exported, "--mean", "0.5", "--std", "0", *out).err
    assert "expected one number per channel" in cli("import", exported, "--mean", "half", "--std", "1", *out).err
    alone = Path(shutil.copy(exported, tmp_path / "alone.pth"))
    assert "alone.pth RECIPE`" in cli("import", alone, *out).err
    assert "no such file" in cli("import", tmp_path / "none.pth", *out).err
    assert not (tmp_path / "runs").exists()
