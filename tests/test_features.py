"""Frozen trunks: features computed once, heads trained on them or solved for; on the digits."""

import json
import signal

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import nn
from torch.nn.functional import normalize

import thirtytwo
from listening import interrupting
from thirtytwo import recipes
from thirtytwo.data import cache
from thirtytwo.device import Device
from thirtytwo.errors import UserError
from thirtytwo.interrupt import Interrupted, Interruption
from thirtytwo.models.classifier import Classifier, build_network
from thirtytwo.models.neighbours import Neighbours
from thirtytwo.models.network import Network
from thirtytwo.recipe import Recipe, parse_assignments
from thirtytwo.runs.loading import load_classifier, load_splits
from thirtytwo.runs.run import Run
from thirtytwo.tracking import Listener
from thirtytwo.training import features as features_module
from thirtytwo.training.build import build, with_features
from thirtytwo.training.features import Head, is_linear, pooled
from thirtytwo.training.loop import train
from thirtytwo.training.probe import PENALTIES, _linear
from thirtytwo.training.session import Session

FROZEN = ["train.freeze=all-but-head", "train.precision=float32", "augment=none"]


@pytest.fixture
def frozen(trained, tmp_path, monkeypatch):
    """Recipes that keep the trunk of a run on the digits, with a cache of their own."""
    monkeypatch.setenv("THIRTYTWO_CACHE", str(tmp_path / "cache"))

    def recipe(*words: str) -> Recipe:
        return recipes.find("digits-cnn").override(parse_assignments([f"model=run:{trained}", *FROZEN, *words]))

    return recipe


def parts_of(recipe: Recipe):
    return build(recipe, Device.choose("cpu", recipe.train.precision), load_splits(recipe))


def kept(tmp_path) -> set[str]:
    return {path.name for path in (tmp_path / "cache" / "decoded").glob("features-*.npy")}


def test_training_on_features_is_the_training_through_the_network(frozen, tmp_path):
    recipe = frozen("train.epochs=3", "train.label_smoothing=0.1", "average=ema(0.9)")
    weights = []
    for through in (with_features, lambda parts: parts):
        session = Session.new(recipe, out=tmp_path, device="cpu", test=False)
        start = {name: tensor.clone() for name, tensor in session.parts.model.state_dict().items()}
        train(through(session.parts), session.run, listener=Listener())
        model = load_classifier(session.run, session.device)
        weights.append(model.state_dict())
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, start[name]) == (not name.startswith("network.6.")), name
        weights.append(model.state_dict())
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[-1][name], atol=1e-5, rtol=1e-4)


def test_images_pass_through_the_trunk_once(frozen, tmp_path, monkeypatch):
    seen: list[int] = []
    monkeypatch.setattr(features_module, "pooled", lambda *args: seen.append(len(args[2])) or pooled(*args))

    def passed(*words: str) -> int:
        seen.clear()
        parts = with_features(parts_of(frozen(*words)))
        assert parts.features is not None
        return sum(images for images in seen if images > features_module.FEW)  # the few tell networks apart

    recipe = frozen()
    both = len(load_splits(recipe).train) + len(load_splits(recipe).val)
    assert passed() == both
    damaged = sorted(kept(tmp_path))[0]
    assert passed("optim.lr=0.01", "seed=3", "train.solver=lbfgs", "train.epochs=7") == 0, "the head alone is another"
    assert passed("train.precision=bf16") == both
    for activation in ("gelu", "relu"):  # the same weights, another network
        assert passed(f"model=speednet(widths=(4, 4, 4), activation='{activation}')") == both
    first = kept(tmp_path)
    path = tmp_path / "cache" / "decoded" / damaged
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert 0 < passed() < both, "a damaged file is computed again, and it alone"
    assert kept(tmp_path) == first


def test_epochs_take_turns_with_the_augmented_views(frozen):
    recipe = frozen("augment=translate(1)|mixup", "train.feature_views=2", "train.epochs=4")
    parts = with_features(parts_of(recipe))
    views = parts.features.train
    assert len(views) == 2 and not torch.equal(views[0][0], views[1][0])
    assert ((views[0][1] > 0).sum(1) > 1).any(), "mixed images have mixed targets"
    steps = parts.feed.steps_per_epoch
    for epoch in range(4):
        batch = parts.feed.batch(epoch * steps)
        assert torch.equal(batch.images, views[epoch % 2][0][batch.ids])
        assert torch.equal(batch.targets, views[epoch % 2][1][batch.ids])
    assert len(with_features(parts_of(frozen("augment=translate(1)", "train.epochs=1"))).features.train) == 1
    assert len(with_features(parts_of(frozen("train.epochs=9"))).features.train) == 1


def test_the_linear_probe_is_scikit_learns_logistic_regression(frozen):
    parts = with_features(parts_of(frozen("train.solver=lbfgs", "train.label_smoothing=0")))
    ((images, targets),) = parts.features.train
    x, y = images.numpy().astype(np.float64), targets.argmax(1).numpy()
    mean, std = x.mean(0), x.std(0, ddof=1)
    std[std == 0] = 1
    wanted = PENALTIES[2]
    found = next(
        candidate for candidate in _linear(parts, parts.features, Interruption()) if candidate.strength == wanted
    )
    theirs = LogisticRegression(C=1 / (len(x) * wanted), max_iter=5000, tol=1e-8).fit((x - mean) / std, y)
    ours = found.layer(images).softmax(1).detach().numpy()
    np.testing.assert_allclose(ours, theirs.predict_proba((x - mean) / std), atol=5e-3)


def test_neighbours_vote_as_scikit_learns(frozen):
    parts = with_features(parts_of(frozen("train.solver=knn")))
    ((images, targets),) = parts.features.train
    labels, val = targets.argmax(1), parts.features.val
    layer = Neighbours.of(7, normalize(images), labels, 10)

    def weights(distances):
        return np.exp((1 - distances) / 0.07)

    theirs = KNeighborsClassifier(7, metric="cosine", weights=weights).fit(images.numpy(), labels.numpy())
    votes = 7 * theirs.predict_proba(val.numpy())
    np.testing.assert_allclose(layer(val).exp().numpy(), (votes + 0.5) / 12, atol=1e-4)
    torch.testing.assert_close(layer(val[:, :, None, None])[..., 0, 0], layer(val))


@pytest.mark.parametrize("solver", ["lbfgs", "knn"])
def test_a_solved_head_is_a_run_like_any_other(solver, frozen, cli, tmp_path, monkeypatch):
    recipe = frozen(f"train.solver={solver}")
    run = thirtytwo.train(recipe, out=tmp_path, device="cpu")
    card = run.run.card
    tried = {each["strength"]: each["val_loss"] for each in card["solved"]["tried"]}
    assert len(tried) > 5 and tried[card["solved"]["strength"]] == min(tried.values())
    record = run.run.metrics()[-1]
    assert record["val_accuracy"] == pytest.approx(run.scores("val")["accuracy"].value)
    assert run.scores("test")["accuracy"].value > 0.93
    again = thirtytwo.train(recipe, out=tmp_path, device="cpu", test=False)
    assert again.run.read_weights() == run.run.read_weights(), "the same recipe, the same bits"
    assert "best on val" in run.report().read_text()
    assert (cli("export", run.path, tmp_path / "net.pth").code == 0) == (solver == "lbfgs")


class Stopped(Interruption):
    """As if Ctrl-C had been pressed at once."""

    def __enter__(self):
        self.requested = signal.SIGINT
        return self


@pytest.mark.parametrize("solver", ["lbfgs", "knn"])
def test_a_solver_that_was_stopped_goes_on_with_the_features_it_has(solver, frozen, tmp_path, monkeypatch, cli):
    recipe = frozen(f"train.solver={solver}", "augment=translate(1)", "train.feature_views=2")
    session = Session.new(recipe, out=tmp_path, device="cpu", test=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("thirtytwo.training.probe.Interruption", Stopped)
        with pytest.raises(Interrupted):
            session.complete()
    assert session.run.status["state"] == "interrupted" and torch.is_grad_enabled()
    features = kept(tmp_path)
    assert len(features) == (3 if solver == "lbfgs" else 2), "val, and two views or the images as they are"
    done = cli("train", "--resume", session.run.path)
    assert done.code == 0 and Run.open(session.run.path).status["state"] == "finished"
    assert kept(tmp_path) == features
    undisturbed = thirtytwo.train(recipe, out=tmp_path, device="cpu", test=False)
    assert undisturbed.run.read_weights() == Run.open(session.run.path).read_weights()


def test_a_training_on_features_resumes_with_the_same_bits(frozen, tmp_path):
    recipe = frozen("augment=translate(1)", "train.feature_views=2", "train.epochs=3", "average=ema(0.9)")
    undisturbed = thirtytwo.train(recipe, out=tmp_path, device="cpu", test=False)
    session = Session.new(recipe, out=tmp_path, device="cpu", test=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("thirtytwo.training.loop.TICK", 0.0)
        with pytest.raises(Interrupted):
            session.complete(listeners=[interrupting(lambda progress: progress.step == 25)])
    for path in (tmp_path / "cache" / "decoded").glob("features-*"):
        path.unlink()
    session = Session.resume(session.run.path)
    session.complete()
    assert session.run.read_weights() == undisturbed.run.read_weights()
    assert session.run.card["feature_views"] == 2 and "2 views" in undisturbed.report().read_text()


def test_a_convolution_is_a_linear_head_in_bf16_too(tmp_path):
    words = ["model=torchvision/squeezenet1_1(input=32, last_relu='identity')", "data.limit=200", "data.channels=3"]
    for solver in ("lbfgs", "knn"):
        settings = [
            *words,
            "train.freeze=all-but-head",
            "augment=none",
            f"train.solver={solver}",
            "train.precision=bf16",
        ]
        recipe = recipes.find("digits-cnn").override(parse_assignments(settings))
        run = thirtytwo.train(recipe, out=tmp_path, device="cpu", test=False)
        solved = run.run.metrics()[-1]["val_accuracy"]
        assert run.scores("val")["accuracy"].value == pytest.approx(solved, abs=0.011), "as the network itself scores"


def test_a_head_is_tried_with_weights_of_its_own():
    class Cut(nn.Module):
        def __init__(self, after):
            super().__init__()
            self.trunk, self.fc, self.after = nn.Conv2d(3, 8, 3), nn.Linear(8, 5), after
            nn.init.zeros_(self.fc.weight)
            nn.init.zeros_(self.fc.bias)

        def forward(self, x):
            return self.after(self.fc(self.trunk(x).mean((2, 3))))

    images = torch.rand(8, 3, 16, 16)
    for after, linear in ((nn.Identity(), True), (nn.LogSoftmax(1), True), (nn.ReLU(), False), (nn.Tanh(), False)):
        model = Classifier(Network(Cut(after)), torch.zeros(3), torch.ones(3))
        assert is_linear(model, "fc", images) == linear
        assert not model.network.fc.weight.any(), "put back"


def test_a_head_of_neighbours_is_used_where_it_can_be(frozen, tmp_path, cli):
    run = thirtytwo.train(frozen("train.solver=knn"), out=tmp_path, device="cpu")
    anew = frozen(f"model=run:{run.path}", "train.solver=lbfgs")
    assert thirtytwo.train(anew, out=tmp_path, device="cpu", test=False).scores("val")["accuracy"].value > 0.9
    done = cli("export", run.path, tmp_path / "net.pth")
    assert done.code == 2 and "nearest neighbours" in done.err and not (tmp_path / "net.pth").exists()
    card = json.loads((run.path / "model.json").read_text())
    for key, value in (("head", "nowhere.x"), ("k", 10**6), ("features", 10**6)):
        changed = {**card, "neighbours": {**card["neighbours"], key: value}}
        (run.path / "model.json").write_text(json.dumps(changed))
        done = cli("test", run.path)
        assert done.code == 2 and done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["train.freeze=none"], "all-but-head"),
        (["train.freeze=to:2"], "all-but-head"),
        (["train.freeze=all-but-head", "train.unfreeze_every=1"], "no train.unfreeze_every"),
        (["train.freeze=all-but-head", "model=torchvision/squeezenet1_1(input=32)"], "last_relu='identity'"),
        (["train.freeze=all-but-head", "train.teacher=run:{trained}"], "train.teacher=none"),
    ],
)
def test_a_solver_needs_a_head_that_alone_is_trained(words, remedy, trained, tmp_path, cli):
    words = [word.format(trained=trained) for word in words]
    done = cli("train", "digits-cnn", *words, "train.solver=lbfgs", "--out", tmp_path / "runs")
    assert done.code == 2 and remedy in done.err and done.err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "name", ["vgg8", "torchvision/squeezenet1_1(last_relu='identity')", "torchvision/vgg11(input=32)"]
)
def test_networks_that_end_in_a_linear_layer_are_known(name):
    torch.manual_seed(0)
    network = build_network(name, 3, 10, (32, 32))
    names = [place for place, layer in network.module.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    model = Classifier(network, torch.zeros(3), torch.ones(3))
    images = torch.rand(4, 3, 32, 32)
    assert is_linear(model, names[-1], images)
    assert not is_linear(model, names[-2], images) and not is_linear(model, names[0], images)
    model.eval()
    head = network.module.get_submodule(names[-1])
    given, logits = pooled(model, head, images)
    answer = Head(head)(given).softmax(1)
    torch.testing.assert_close(answer, logits.softmax(1), atol=1e-4, rtol=1e-4)


def test_everything_before_a_head_that_alone_is_trained_computes_as_in_evaluation(frozen):
    parts = parts_of(frozen("model=vgg8(widths=(4, 4, 4, 4), dropout=0.5)", "data.size=16"))
    images = torch.rand(4, 1, 16, 16)
    with torch.no_grad():
        scored = parts.model.eval()(images)
        parts.model.train()
        parts.freeze.hold(0)
        assert torch.equal(parts.model(images), scored)


def test_features_that_cannot_be_kept_are_one_line(frozen, tmp_path, monkeypatch):
    parts = parts_of(frozen())
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("THIRTYTWO_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="THIRTYTWO_CACHE"):
        with_features(parts)
    assert cache.cache_dir() == tmp_path / "file"
