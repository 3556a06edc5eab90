"""Looking into a network: what is shown is what its layers compute, for every network, and nothing is left behind."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from thirtytwo import UserError, open_run
from thirtytwo.explain import explanations
from thirtytwo.explain.explanation import load, pack
from thirtytwo.explain.layers import LAYERS, MAPS, explain, first_filters, layer_maps
from thirtytwo.figures import canvas, pictures
from thirtytwo.models import models
from thirtytwo.models.classifier import Classifier, build_network
from thirtytwo.models.network import Network
from thirtytwo.report import html
from thirtytwo.runs.run import Run

DIGIT = torch.tensor(load_digits().images[3] * 16).clamp(max=255).to(torch.uint8)[None]


def classifier(spec: str | nn.Module, channels: int, size: int) -> Classifier:
    torch.manual_seed(0)
    network = build_network(spec, channels, 10, (size, size)) if isinstance(spec, str) else Network(spec)
    return Classifier(network, torch.full((channels,), 0.4), torch.full((channels,), 0.3))


def enlarged(channels: int, size: int) -> torch.Tensor:
    picture = F.interpolate(DIGIT[None].float(), size=(size, size))[0].to(torch.uint8)
    return picture.expand(channels, -1, -1).contiguous()


def test_maps_are_what_the_layers_compute() -> None:
    model = classifier("cnn2", 1, 8)
    first, _, second, *_ = model.network
    x = (DIGIT[None].float() / 255 - 0.4) / 0.3
    with torch.no_grad():
        one = F.relu(F.conv2d(x, first.weight, first.bias, padding=1))
        two = F.relu(F.conv2d(one, second.weight, second.bias, padding=1))
    expected = {"0": one, "2": two, "4": F.max_pool2d(two, 2)}
    shown = layer_maps(model, DIGIT)
    assert [layer.name for layer in shown] == list(expected)
    assert [layer.types for layer in shown] == ["Conv2d, ReLU", "Conv2d, ReLU", "MaxPool2d"]
    for layer, whole in zip(shown, expected.values(), strict=True):
        assert layer.shape == tuple(whole.shape[1:])
        torch.testing.assert_close(torch.from_numpy(layer.maps), whole[0, layer.channels])
        spread = whole[0].var(dim=(1, 2))
        assert set(layer.channels.tolist()) == set(spread.topk(MAPS).indices.tolist())


def test_a_layer_that_is_changed_in_place_later_is_shown_as_it_was() -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4 * 36, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            before.append(x.clone())
            return self.head(x.add_(7).flatten(1))

    before: list[torch.Tensor] = []
    (layer,) = layer_maps(classifier(Shifted(), 1, 8), DIGIT)
    np.testing.assert_array_equal(layer.maps, before[0][0].numpy())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", models.names())
def test_every_model_can_be_looked_into(name: str, channels: int) -> None:
    spec = "wideresnet(depth=10, width=1)" if name == "wideresnet" else name
    model = classifier(spec, channels, 32)
    model.train()
    modes = [module.training for module in model.modules()]
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    seen = explain(model, enlarged(channels, 32))
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())

    kernels = [t for k, t in before.items() if t.ndim == 4 and t.shape[1] == channels and k.endswith("weight")]
    np.testing.assert_array_equal(seen.filters, kernels[0].numpy())
    assert 3 <= len(seen.layers) <= LAYERS
    for layer in seen.layers:
        assert layer.maps.shape == (min(MAPS, layer.shape[0]), *layer.shape[1:])
        assert layer.channels.tolist() == sorted(set(layer.channels.tolist()))


def test_a_network_without_a_convolution_shows_nothing() -> None:
    seen = explain(classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), 1, 8), DIGIT)
    assert seen.layers == () and len(seen.filters) == 0


def test_hooks_are_gone_after_an_error() -> None:
    model = classifier("lenet", 1, 32)
    with pytest.raises(RuntimeError):
        layer_maps(model, DIGIT)
    assert not any(module._forward_hooks for module in model.modules())


def test_what_is_kept_is_what_was_seen_within_a_level(tmp_path: Path) -> None:
    seen = explain(classifier("vgg8", 3, 32), enlarged(3, 32))
    path = tmp_path / "layers.npz"
    path.write_bytes(pack(seen, 17))
    kept, id_ = load(path)
    assert id_ == 17
    np.testing.assert_array_equal(kept.picture, seen.picture)
    np.testing.assert_array_equal(kept.filters, seen.filters)
    for mine, theirs in zip(kept.layers, seen.layers, strict=True):
        assert (mine.name, mine.types, mine.shape) == (theirs.name, theirs.types, theirs.shape)
        assert mine.channels.tolist() == theirs.channels.tolist()
        level = (theirs.maps.max() - theirs.maps.min()) / 255
        assert np.abs(mine.maps - theirs.maps).max() <= 0.51 * level


def test_a_run_keeps_its_most_confident_right_picture_of_the_first_class(trained: Path) -> None:
    run = Run.open(trained)
    stored, scored = run.explanation(), run.predictions("val")
    assert stored is not None and scored is not None
    explanation, id_ = stored
    said = scored[0]
    first = said.correct & (said.labels == said.labels[said.correct].min())
    best = np.flatnonzero(first)[said.probabilities.max(axis=1)[first].argmax()]
    assert id_ == said.ids[best]
    model = open_run(trained, device="cpu").model
    np.testing.assert_array_equal(explanation.filters, first_filters(model))
    fresh = layer_maps(model, torch.from_numpy(explanation.picture))
    for kept, now in zip(explanation.layers, fresh, strict=True):
        np.testing.assert_allclose(kept.maps, now.maps, atol=float(np.ptp(now.maps)) / 255)


def test_the_report_shows_it_and_an_older_run_does_without(run_copy: Path) -> None:
    run = Run.open(run_copy)
    drawn = {"filters.png", "layers.png", "predictions.png"}
    text = html.write(run).read_text(encoding="utf-8")
    assert "What the network sees" in text and len(text) < 1_500_000
    assert drawn <= {path.name for path in (run_copy / "figures").iterdir()}
    (run_copy / "predictions" / "layers.npz").unlink()
    text = html.write(run).read_text(encoding="utf-8")
    assert "What the network sees" not in text
    assert drawn & {path.name for path in (run_copy / "figures").iterdir()} == {"predictions.png"}


def test_what_is_drawn_is_the_same_wherever_it_comes_from(trained: Path, run_copy: Path) -> None:
    """The report, the run's own picture and a picture that is looked at anew: one explanation, one way to draw it."""
    run = open_run(trained, device="cpu")
    kept = run.explain()
    anew = run.explain(f"val:{kept.names[0].removeprefix('val-')}", "layers")
    assert list(kept.figures) == list(anew.figures)
    titles = [each.figures[f"{kept.names[0]}-layers"].axes[0].texts[0].get_text() for each in (kept, anew)]
    assert titles[0] == titles[1] and f": {kept.truths[0]}, called {kept.said[0][0][0]} with " in titles[0]
    html.write(Run.open(run_copy))
    kept.save(run_copy / "seen")
    filters = [(run_copy / folder / "filters.png").read_bytes() for folder in ("figures", "seen")]
    assert filters[0] == filters[1]


@pytest.mark.parametrize("name", explanations.names())
def test_every_kind_of_explanation_is_drawn_with_words_to_read_out(name: str) -> None:
    model = classifier("cnn2", 1, 8)
    seen = explanations.build(name, classifier=model, picture=DIGIT, label=3)
    drawn = seen.figures("a three") | seen.network_figures()
    assert drawn and explanations.summary(name)
    for drawing in drawn.values():
        assert drawing.alt and "\n" not in drawing.alt and canvas.png_bytes(drawing.figure)[:4] == b"\x89PNG"
    empty = classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), 1, 8)
    assert isinstance(explanations.build(name, classifier=empty, picture=DIGIT, label=3).figures("a three"), dict)


def test_reading_and_drawing_an_explanation_needs_no_torch(trained: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from thirtytwo.explain.explanation import load
explanation, _ = load(Path({str(trained)!r}) / "predictions" / "layers.npz")
assert explanation.figures("a picture") and explanation.network_figures()
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shape", [(6, 1, 5, 5), (130, 3, 3, 3), (4, 7, 2, 3)])
def test_filters_of_any_shape_are_drawn_with_their_scale(shape: tuple[int, ...]) -> None:
    weights = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    figure = pictures.filters(weights)
    shown = min(len(weights), pictures.FILTERS_SHOWN)
    assert len(figure.axes[0].images) == shown
    said = [text.get_text() for text in figure.axes[0].texts]
    flat = weights if shape[1] == 3 else weights.mean(axis=1)
    assert said[0] == f"±{np.abs(flat[0]).max():.2g}"
    assert ("the first 96 of 130" in said[-1]) == (shape[0] == 130)
    assert ("mean over 7" in said[-1]) == (shape[1] == 7)


def test_a_panel_ticks_the_true_class_and_colours_right_and_wrong() -> None:
    picture = np.zeros((1, 4, 4), np.uint8)
    said = [[("cat", 0.7), ("dog", 0.2)], [("cat", 0.6), ("dog", 0.4)], [("cat", 0.9), ("dog", 0.1)]]
    figure = pictures.prediction_panel([picture] * 3, ["a", "b", "c"], said, ["cat", "dog", None])
    from matplotlib.colors import to_hex

    bars = [(round(bar.get_width() / 1.75, 3), to_hex(bar.get_facecolor())) for bar in figure.axes[0].patches]
    blue, vermilion, grey = canvas.BLUE, canvas.VERMILION, canvas.MUTED
    assert bars == [(0.7, blue), (0.2, grey), (0.6, vermilion), (0.4, blue), (0.9, grey), (0.1, grey)]
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("cat ✓") == 1 and texts.count("dog ✓") == 1 and "70.0 %" in texts


def test_the_verb_draws_a_users_picture_and_the_runs_own(trained: Path, tmp_path: Path, cli: Callable) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(DIGIT[0].numpy()).save(tmp_path / folder / "three.png")
    files = (tmp_path / "a" / "three.png", tmp_path / "b")
    done = cli("explain", trained, *files, "--out", tmp_path / "out", "--json", "--top", "2")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    names = {"predictions.png", "three-layers.png", "three-layers-2.png", "filters.png"}
    assert {Path(path).name for path in answer["figures"]} == names
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert [len(each["top"]) for each in answer["pictures"]] == [2, 2]
    predicted = json.loads(cli("predict", trained, files[0], "--json", "--top", "2").out)
    assert answer["pictures"][0] == predicted[0]

    done = cli("explain", trained, "--out", tmp_path / "own")
    assert done.code == 0, done.err
    stored = Run.open(trained).explanation()
    assert stored is not None
    drawn = {path.name for path in (tmp_path / "own").iterdir()}
    assert drawn == {"predictions.png", f"val-{stored[1]}-layers.png", "filters.png"}
    assert all(name in done.out for name in drawn)


def test_images_of_the_runs_own_data_are_named_by_number(trained: Path, tmp_path: Path, cli: Callable) -> None:
    run, digits = open_run(trained), load_digits()
    number = Run.open(trained).split["ids"]["val"][3]
    shown = run.explain(f"val:{number}")
    assert (shown.images[0][0] == (digits.images[number] * 255 / 16).round()).all()
    assert shown.truths == [str(digits.target[number])] and shown.names == [f"val-{number}"]
    assert run.predict([f"val:{number}"])[0].classes[0] == shown.said[0][0][0]
    elsewhere = Run.open(trained).split["ids"]["train"][0]
    with pytest.raises(UserError, match=f"val:{elsewhere}: .* has no such image in val"):
        run.explain(f"val:{elsewhere}")
    kept, numbers = Run.open(trained).pictures("test")
    of_test = run.explain(f"test:{numbers[0]}")
    assert (of_test.images[0] == kept[0]).all() and of_test.truths == [str(digits.target[numbers[0]])]
    hidden = next(number for number in Run.open(trained).split["ids"]["test"] if number not in numbers)
    with pytest.raises(UserError, match=f"test:{hidden}: .* shows no such image"):
        run.predict(f"test:{hidden}")
    done = cli("explain", trained, f"train:{elsewhere}", "--out", tmp_path)
    assert done.code == 0 and (tmp_path / f"train-{elsewhere}-layers.png").is_file(), done.err


def test_a_run_keeps_training_pictures_as_they_are_and_as_epochs_show_them(trained: Path, run_copy: Path) -> None:
    run, digits = Run.open(trained), load_digits()
    images, labels = run.training_pictures()
    train = (digits.images[run.split["ids"]["train"]] * 255 / 16).round().astype(np.uint8)
    assert run.recipe.augment == "translate(1)" and sorted(labels.tolist()) == list(range(8))
    for first, *epochs in images[:, :, 0].transpose(1, 0, 2, 3):
        assert (train == first).all(axis=(1, 2)).any()
        padded = np.pad(first, 1, mode="reflect")
        shifts = [padded[y : y + 8, x : x + 8] for y in range(3) for x in range(3)]
        assert all(any((epoch == shift).all() for shift in shifts) for epoch in epochs)
    html.write(Run.open(run_copy))
    assert (run_copy / "figures" / "training-pictures.png").is_file()
    assert "after the recipe's" in (run_copy / "report.html").read_text()


def test_a_wrong_word_is_one_line(run_copy: Path, tmp_path: Path, cli: Callable) -> None:
    (run_copy / "predictions" / "layers.npz").unlink()
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "file").write_text("")
    picture = tmp_path / "three.png"
    Image.fromarray(DIGIT[0].numpy()).save(picture)
    for words, said in (
        ((tmp_path / "none",), "no such run folder"),
        ((run_copy,), "keeps no picture"),
        ((run_copy, tmp_path / "none.png"), "no such picture"),
        ((run_copy, tmp_path / "text.png"), "text.png"),
        ((run_copy, picture, "--out", tmp_path / "file"), "file"),
        ((run_copy, picture, "--how", "layer"), "unknown explanation 'layer': did you mean 'layers'?"),
        ((run_copy, picture, "--how", "layers(3)"), "takes 0 arguments"),
        ((run_copy, picture, "--how", "layers("), "cannot read 'layers('"),
    ):
        done = cli("explain", *words)
        assert done.code == 2 and said in done.err and done.err.count("\n") == 1, done.err


def test_a_notebook_shows_the_figures(trained: Path) -> None:
    run = open_run(trained, device="cpu")
    seen = run.explain(DIGIT[0].numpy())
    assert list(seen.figures) == ["predictions", "picture 1-layers", "filters"]
    assert seen._repr_html_().count("data:image/png;base64,") == 3
    with pytest.raises(UserError, match="61 pictures"):
        run.explain([DIGIT] * 61)
    with pytest.raises(UserError, match="between 1 and 60"):
        run.explain([])
