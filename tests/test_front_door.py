"""What ``import thirtytwo`` offers, and that Python can do what a verb can."""

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
import pandas
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import Dataset

import thirtytwo
from listening import interrupting
from thirtytwo import UserError
from thirtytwo.api.overrides import Overrides
from thirtytwo.data import given as given_data
from thirtytwo.files import sha256
from thirtytwo.interrupt import Interrupted
from thirtytwo.models import given as given_models
from thirtytwo.models import models
from thirtytwo.recipe import Recipe, keys
from thirtytwo.rng import derive

SMALL = {"model": "cnn2(width=4)", "epochs": 2, "progress": False}


def digits() -> tuple[np.ndarray, np.ndarray]:
    """As the source ``digits`` has them."""
    content = load_digits()
    return np.rint(content.images * (255 / 16)).astype(np.uint8), content.target


class Digits(Dataset):
    """The same, as a PyTorch dataset of tensors."""

    classes = tuple("0123456789")

    def __init__(self) -> None:
        self.images, self.labels = digits()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(self.images[index])[None], int(self.labels[index])


def weights(run: thirtytwo.TrainedRun) -> str:
    return sha256(run.run.read_weights())


class Returns(nn.Module):
    """A network that returns what a function makes of logits."""

    def __init__(self, change) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.change = change

    def forward(self, images: torch.Tensor) -> object:
        return self.change(self.linear(images.flatten(1)))


class Items(Dataset):
    """A dataset of 40 items, each made by a function of its number."""

    def __init__(self, item, **attributes) -> None:
        self.item = item
        for name, value in attributes.items():
            setattr(self, name, value)

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> object:
        return self.item(index)


def raises(*_: object) -> object:
    raise LookupError("two\nlines")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def forgetful():
    """Another process, which was given nothing yet."""

    def forget() -> None:
        given_models.known.clear()
        given_data.known.clear()

    return forget


def test_dir_lists_what_there_is_and_nothing_else():
    done = subprocess.run(
        [sys.executable, "-c", "import sys, thirtytwo; print(dir(thirtytwo)); print('torch' in sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    names, torch_is_imported = done.stdout.splitlines()
    assert names == str(sorted(thirtytwo.__all__)) and torch_is_imported == "False"
    assert {"train", "resume", "compare", "open_run", "TrainedRun", "UserError"} <= {*thirtytwo.__all__}


@pytest.mark.parametrize("name", sorted({*thirtytwo.__all__} - {"__version__"}))
def test_every_public_name_is_there_and_says_what_it_is(name):
    found = getattr(thirtytwo, name)
    if inspect.isclass(found) or inspect.isfunction(found):
        assert len(inspect.getdoc(found) or "") > 20


def _same_type(said: object, recipe: object) -> bool:
    """Whether a keyword's type is the recipe's, which may have bounds that Python's types cannot say."""
    if get_origin(recipe) is Literal or get_origin(said) is Literal:
        return said == recipe
    arguments = [{*get_args(each)} or {each} for each in (said, recipe)]
    plain = [{get_args(each)[0] if hasattr(each, "__metadata__") else each for each in found} for found in arguments]
    return plain[1] <= plain[0] or get_origin(said) == get_origin(recipe)


def test_keywords_are_the_recipes_keys_with_their_types():
    hints = get_type_hints(Overrides)
    full = {key.replace(".", "__"): key for key in keys()}
    ends = [key.rpartition(".")[2] for key in keys()]
    short = {key.rpartition(".")[2]: key for key in keys() if ends.count(key.rpartition(".")[2]) == 1}
    del short["test"]  # `train` has a parameter of that name
    assert {*hints} == {*full, *short, "data"}
    for name, key in {**short, **full}.items():
        section, _, last = key.rpartition(".")
        model = Recipe.model_fields[section].annotation if section else Recipe
        assert _same_type(hints[name], model.model_fields[last].annotation), name


def test_arrays_and_a_dataset_train_the_same_bits_as_the_source_of_the_same_images():
    named = thirtytwo.train(**SMALL)
    images, labels = digits()
    assert weights(thirtytwo.train(data=(images, labels), **SMALL)) == weights(named)
    assert weights(
        thirtytwo.train(data=(torch.from_numpy(images)[:, None] / 255, labels.tolist()), **SMALL)
    ) == weights(named)
    assert weights(thirtytwo.train(data=Digits(), **SMALL)) == weights(named)


def test_labels_may_be_text_even_where_a_dataset_knows_its_classes_and_python_objects():
    images, labels = digits()
    names = ["even", "odd"]
    texts = [names[label % 2] for label in labels]
    run = thirtytwo.train(data=Items(lambda i: (images[i], texts[i]), classes=names), **SMALL)
    assert run.classes == ("even", "odd")
    for own in (np.array(texts, dtype=object), pandas.Series(texts), pandas.Series(texts, dtype="category")):
        assert thirtytwo.train(data=(images[:200], own[:200]), **SMALL).classes == ("even", "odd")


def test_images_may_be_given_by_split():
    images, labels = digits()
    parts = {"train": (images[:1000], labels[:1000]), "val": (images[1000:1200], labels[1000:1200]),
             "test": (images[1200:], labels[1200:])}  # fmt: skip
    run = thirtytwo.train(data=parts, **SMALL)
    assert run.run.split["sizes"] == {"train": 1000, "val": 200, "test": 597}


def test_a_network_that_is_given_trains_as_the_same_one_by_name_and_stays_as_it_was():
    named = thirtytwo.train(**SMALL)
    with torch.random.fork_rng():
        torch.manual_seed(derive(0, "weights"))
        network = models.build("cnn2(width=4)", channels=1, classes=10, size=(8, 8))
    assert isinstance(network, nn.Module)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    run = thirtytwo.train(**{**SMALL, "model": network})
    assert weights(run) == weights(named)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("freeze", ["none", "all-but-head"])
def test_what_was_given_is_given_again_to_resume_and_to_predict(freeze, forgetful, monkeypatch):
    images, labels = digits()

    def network() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(36, 10))

    monkeypatch.setattr("thirtytwo.training.loop.TICK", 0.0)
    first, asked = network(), {"data": (images, labels), "epochs": 3, "freeze": freeze, "progress": False}
    whole = thirtytwo.train(model=first, name="whole", **asked)
    with pytest.raises(Interrupted):
        thirtytwo.train(model=first, name="cut", track=[interrupting(lambda progress: progress.step == 20)], **asked)
    forgetful()
    for impossible in (thirtytwo.resume, lambda path: thirtytwo.open_run(path).predict(images[:2])):
        with pytest.raises(UserError, match="came from a Python program: pass"):
            impossible("runs/cut-1" if impossible is thirtytwo.resume else whole.path)
    # With other first weights: the checkpoint has those that count.
    again = thirtytwo.resume("runs/cut-1", model=network(), data=(images, labels), progress=False)
    assert weights(again) == weights(whole)
    forgetful()
    answers = thirtytwo.open_run(whole.path, model=network()).predict_proba(images[:5])
    assert np.array_equal(answers, again.predict_proba(images[:5]))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda x, y: {"data": 5}, "data=int: expected a pair of arrays"),
        (lambda x, y: {"data": (x, y[:5])}, "1,797 images but 5 labels"),
        (lambda x, y: {"data": (x.astype(float) - 3, y)}, "numbers from -3"),
        (lambda x, y: {"data": (x[0], y)}, "have shape"),
        (lambda x, y: {"data": {"train": (x, y), "tset": (x, y)}}, "'tset' is not a split"),
        (lambda x, y: {"data": {"test": (x, y)}}, "has no train images"),
        (lambda x, y: {"model": nn.Linear(3, 2)}, "does not fit images of 8 x 8"),
        (lambda x, y: {"model": nn.Flatten()}, "it must return logits"),
        (lambda x, y: {"model": Returns(lambda z: (z, z))}, "returns tuple, not a tensor: it must return logits"),
        (lambda x, y: {"model": Returns(lambda z: {"out": z})}, "returns dict, not a tensor"),
        (
            lambda x, y: {"model": Returns(lambda z: z.argmax(1)[:, None].expand(-1, 10))},
            "returns torch.int64: it must",
        ),
        (lambda x, y: {"model": Returns(lambda z: z[:1])}, "shape (1, 10) for 8 images"),
        (lambda x, y: {"model": Returns(lambda z: z.detach())}, "does not depend on any parameter that is trained"),
        (lambda x, y: {"model": Returns(raises)}, "failed on a black image (LookupError: two)"),
        (lambda x, y: {"model": nn.CrossEntropyLoss()}, "failed on a black image (TypeError"),
        (lambda x, y: {"data": ([x[0], x[0][:3]], [0, 1])}, "data, train images: not an array"),
        (lambda x, y: {"data": (torch.zeros(4, 8, 8, dtype=torch.bfloat16), [0, 1] * 2)}, "images: not an array"),
        (lambda x, y: {"data": Items(raises)}, "data, train: item 0 cannot be read (LookupError: two lines)"),
        (lambda x, y: {"data": Items(lambda i: (x[i], [0] * (1 + i)))}, "the label of item 1 has shape (2,)"),
        (lambda x, y: {"data": Items(lambda i: (x[i], int(y[i])), classes=["a"] * 10)}, "the same name, 'a'"),
        (lambda x, y: {"lr": 0.1, "optim__lr": 0.2}, "key 'optim.lr' is given twice"),
        (lambda x, y: {"data": (x, y), "source": "digits"}, "key 'data.source' is given twice"),
        (lambda x, y: {"epochz": 3}, "did you mean 'train.epochs'"),
        (lambda x, y: {"track": ["curb"]}, "unknown tracker 'curb'"),
        (lambda x, y: {"device": "gpu"}, "device 'gpu'"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(wrong, said, tmp_path):
    with pytest.raises(UserError) as caught:
        thirtytwo.train(**{**SMALL, **wrong(*digits())})
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_a_study_refuses_objects_that_its_processes_would_not_find():
    with pytest.raises(UserError, match="register yours in a file"):
        thirtytwo.run_study("digits", model=nn.Flatten())


@pytest.mark.parametrize("path", [None, 3, ["runs"], "x" * 5000, ""])
def test_what_is_no_path_is_one_line(path):
    for verb in (thirtytwo.open_run, thirtytwo.open_study, thirtytwo.resume, thirtytwo.scan):
        with pytest.raises(UserError) as caught:
            verb(path)
        assert "\n" not in str(caught.value)


def test_history_is_a_table_or_a_list_of_records():
    run = thirtytwo.train(**SMALL)
    table = run.history()
    assert list(table["step"]) == [20, 40] and table["val_accuracy"].between(0, 1).all()
    code = "import sys; sys.modules['pandas'] = None; import thirtytwo, json; "
    code += f"print(json.dumps(thirtytwo.open_run({str(run.path)!r}).history()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == run.run.metrics()


def test_probabilities_are_those_of_the_answers():
    run = thirtytwo.train(**SMALL)
    images = digits()[0][:7]
    shares = run.predict_proba(images)
    assert shares.shape == (7, 10) and np.allclose(shares.sum(1), 1)
    for row, answer in zip(shares, run.predict(images, top=10), strict=True):
        assert [run.classes[k] for k in np.argsort(-row)] == list(answer.classes)
        assert sorted(row, reverse=True) == list(answer.probabilities)
    assert run.predict_proba([]).shape == (0, 10)


def test_train_writes_its_report_as_the_verb_does():
    assert (thirtytwo.train(**SMALL).path / "report.html").is_file()


def test_lists_name_what_the_verbs_list(cli):
    listed = {
        ("recipes", "list"): thirtytwo.list_recipes(),
        ("data", "list"): thirtytwo.list_sources(),
        ("study", "list"): thirtytwo.list_studies(),
        ("model",): thirtytwo.list_models(),
    }
    for verb, names in listed.items():
        assert json.loads(cli(*verb, "--json").out) == names
    assert "cutmix" in thirtytwo.list_augmentations("cut*")
    assert "torchvision/resnet18" in thirtytwo.list_models("torchvision/resnet1*")


def test_a_path_is_never_a_name_and_a_folder_as_data_is_told_where_it_goes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / "digits" / name).mkdir(parents=True)
        for i in range(20):
            Image.new("L", (8, 8), 10 * i + (name == "dog")).save(tmp_path / "digits" / name / f"{i}.png")
    assert len(thirtytwo.load(Path("digits")).train) == 40 and len(thirtytwo.load("digits").train) == 1797
    with pytest.raises(UserError, match=r"^mnist: no such file or folder"):
        thirtytwo.load(Path("mnist"))
    for data in (Path("digits"), "digits"):
        with pytest.raises(UserError, match=r"data='digits': .* goes in source="):
            thirtytwo.train("digits-cnn", data=data, epochs=1)


def test_what_is_loaded_is_described_in_a_line():
    assert repr(thirtytwo.load("digits")) == "<digits: train <ImageSet: 1,797 grey images 8x8, 10 classes>>"
