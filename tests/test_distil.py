"""Distillation's laws, on scikit-learn's digits: a small network learns from the run that the suite trains anyway."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import log_softmax, softmax
from sklearn.datasets import load_digits

import thirtytwo
from listening import interrupting
from thirtytwo import recipes
from thirtytwo.errors import UserError
from thirtytwo.evaluation.predict import logits
from thirtytwo.interrupt import Interrupted
from thirtytwo.recipe import Recipe, parse_assignments
from thirtytwo.runs.checkpoint import unpack
from thirtytwo.runs.loading import load_classifier
from thirtytwo.runs.run import Run
from thirtytwo.training.objective import divergence
from thirtytwo.training.session import Session

SMALL = ["data.limit=200", "train.epochs=2", "train.eval_every=0.5", "model=cnn2(width=4)", "train.precision=float32"]


def small(*words: object) -> Recipe:
    return recipes.find("digits-cnn").override(parse_assignments([*SMALL, *map(str, words)]))


def train(recipe: Recipe, out: Path) -> Run:
    session = Session.new(recipe, out=out, device="cpu", test=False)
    session.complete()
    return session.run


def stopped(recipe: Recipe, out: Path) -> Run:
    """A run that was interrupted at its second step."""
    session = Session.new(recipe, out=out, device="cpu", test=False)
    with pytest.raises(Interrupted):
        session.complete(listeners=[interrupting(lambda now: now.step == 2)])
    return session.run


@pytest.fixture(autouse=True)
def watch_every_step(monkeypatch):
    monkeypatch.setattr("thirtytwo.training.loop.TICK", 0.0)


@pytest.fixture
def answers(trained) -> tuple[torch.Tensor, torch.Tensor]:
    """Real logits, float64 (144, 10): the run's on val as the teacher's; its logits on other images as a student's."""
    plain, _ = Run.open(trained).predictions("val")
    taught = torch.from_numpy(plain.logits).double()
    return taught.roll(1, 0), taught


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 100.0])
def test_the_loss_and_its_gradient_are_the_papers(answers, temperature):
    student, taught = (each.numpy() for each in answers)
    t = temperature
    soft = softmax(taught / t, 1)
    expected = t**2 * (soft * (log_softmax(taught / t, 1) - log_softmax(student / t, 1))).sum(1).mean()
    given = answers[0].float().requires_grad_()
    loss = divergence(given, answers[1].float(), t)
    loss.backward()
    assert loss.item() == pytest.approx(expected, rel=1e-3)
    gradient = t * (softmax(student / t, 1) - soft) / len(student)
    np.testing.assert_allclose(given.grad, gradient, atol=1e-6, rtol=1e-3)


def test_at_a_high_temperature_it_matches_logits(answers):
    """Section 2.1: where T is large against the logits, the gradient is (z - v) / N, with the means taken off."""
    student, taught = (each - each.mean(1, keepdim=True) for each in answers)
    student.requires_grad_()
    divergence(student, taught, 1e4).backward()
    expected = (student - taught).detach() / student.shape[1] / len(student)
    torch.testing.assert_close(student.grad, expected, rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize(
    "words", [[], ["augment=mixup|cutmix", "train.class_weights=balanced"]], ids=["plain", "mixed"]
)
def test_the_labels_have_the_rest_of_the_loss(trained, tmp_path, words):
    words = [*words, f"teacher=run:{trained}", "teacher_weight=0.3", "temperature=2"]
    parts = Session.new(small(*words), out=tmp_path, device="cpu").parts
    batch = parts.feed.batch(0)
    given = parts.model(batch.images).detach()
    with torch.no_grad():
        taught = load_classifier(Run.open(trained), parts.device)(batch.images)
    expected = 0.7 * parts.objective.labels(given, batch) + 0.3 * divergence(given, taught, 2.0)
    torch.testing.assert_close(parts.objective(given, batch), expected)
    weights = parts.objective.labels.class_weights
    assert (weights is not None) == (len(words) > 3)


def test_a_teacher_without_weight_changes_no_bit(trained, tmp_path):
    words = ["model=wideresnet(depth=10, width=1, dropout=0.3)", "augment=translate(1)|mixup"]
    alone = train(small(*words), tmp_path)
    taught = train(small(*words, f"teacher=run:{trained}", "teacher_weight=0"), tmp_path)
    assert alone.read_weights() == taught.read_weights() and "teacher" in taught.env and "teacher" not in alone.env


def test_a_distilled_student_answers_like_its_teacher(trained, tmp_path):
    words = ["data.limit=600", "train.epochs=25", "model=cnn2(width=8)"]
    runs = train(small(*words), tmp_path), train(small(*words, f"teacher=run:{trained}"), tmp_path)
    teacher = Run.open(trained)
    assert runs[0].card["parameters"] < teacher.card["parameters"] / 4
    taught = teacher.predictions("val")[0]
    found = [run.predictions("val")[0] for run in runs]
    apart = [divergence(*map(torch.from_numpy, (each.logits, taught.logits)), 1.0).item() for each in found]
    same = [float((each.predicted == taught.predicted).mean()) for each in found]
    assert apart[1] < 0.7 * apart[0] and same[1] >= same[0] - 0.02


VARIANTS = {
    "plain": [],
    "bf16, mixtures and weights": ["train.precision=bf16", "augment=mixup", "train.class_weights=balanced"],
    "frozen, averaged": ["model=speednet(widths=(8, 8, 8))", "train.freeze=to:groups.1", "average=ema(0.9)"],
}


@pytest.mark.parametrize("words", VARIANTS.values(), ids=VARIANTS)
def test_stopped_and_resumed_elsewhere_gives_the_same_bits(trained, words, tmp_path, monkeypatch):
    monkeypatch.chdir(trained.parent)
    recipe = small(*words, f"teacher=run:{trained.name}")
    whole, cut = train(recipe, tmp_path), stopped(recipe, tmp_path)
    monkeypatch.chdir(tmp_path)
    Session.resume(cut.path).complete()
    assert cut.read_weights() == whole.read_weights()
    assert [record["train_loss"] for record in cut.metrics()] == [record["train_loss"] for record in whole.metrics()]


def test_the_teacher_is_left_as_it_was(trained, tmp_path):
    session = Session.new(small(f"teacher=run:{trained}"), out=tmp_path, device="cpu", test=False)
    session.complete()
    teacher, run = session.parts.objective.teacher, Run.open(trained)
    kept = unpack(run.read_weights(), run.weights)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters()) and not teacher.training


def test_another_teacher_in_its_place_is_refused(run_copy, tmp_path):
    run = stopped(small(f"teacher=run:{run_copy}"), tmp_path / "runs")
    other = train(small(), tmp_path / "runs")
    shutil.copy(other.weights, run_copy / "model.safetensors")
    shutil.copy(other.path / "model.json", run_copy / "model.json")
    with pytest.raises(
        UserError, match=r"its teacher .* is not the one that it started from .*: restore the old"
    ) as error:
        Session.resume(run.path)
    assert "\n" not in str(error.value)


def test_a_teacher_that_is_gone_is_named(run_copy, tmp_path):
    run = stopped(small(f"teacher=run:{run_copy}"), tmp_path / "runs")
    shutil.rmtree(run_copy)
    with pytest.raises(UserError, match=rf"started from {re.escape(str(run_copy))}, which is gone: restore it"):
        Session.resume(run.path)


def test_a_finished_run_needs_its_teacher_no_more(run_copy, tmp_path, cli):
    run = train(small(f"teacher=run:{run_copy}"), tmp_path)
    shutil.rmtree(run_copy)
    Session.resume(run.path).complete()
    opened = thirtytwo.open_run(run.path, device="cpu")
    assert len(opened.test()) > 0
    page = opened.report().read_text(encoding="utf-8")
    assert f"distilled from {run_copy.name}" in page and "too good" not in page
    assert str(run_copy) in cli("runs", "show", run.path).out
    file = tmp_path / "student.safetensors"
    assert cli("export", run.path, file).code == 0
    done = cli("import", file, "--out", tmp_path)
    assert done.code == 0, done.err
    picture = np.zeros((8, 8), np.uint8)
    assert len(opened.predict(picture)) == 1
    again = logits(opened.model, torch.zeros(1, 1, 8, 8, dtype=torch.uint8), opened.device)
    assert again.shape == (1, 10)


def test_the_command_line_says_who_teaches(trained, tmp_path, cli):
    done = cli("train", *SMALL, f"teacher=run:{trained}", "temperature=2", "--no-test", "--out", tmp_path)
    (line,) = (line for line in done.out.splitlines() if line.startswith("teacher"))
    assert "cnn2, 14,698 parameters" in line and str(trained) in line and "temperature 2, weight 0.9" in line


def test_images_that_a_teacher_or_the_first_weights_were_trained_on_are_counted(trained, tmp_path, caplog):
    """Under another cut, at another size, and through a run in between; under the same cut nothing is said."""
    for words in ((f"teacher=run:{trained}",), (f"model=run:{trained}", "data.size=12")):
        assert "seen_before" not in train(small(*words), tmp_path).env and not caplog.records
    learned = set(Run.open(trained).split["ids"]["train"])
    own = train(small(f"model=run:{trained}"), tmp_path)
    for words in (
        (f"teacher=run:{trained}", "data.split_seed=1"),
        (f"model=run:{trained}", "data.size=12", "data.split_seed=1"),
        (f"model=run:{own.path}", "data.split_seed=2"),
    ):
        caplog.clear()
        run = train(small(*words), tmp_path)
        ids = run.split["ids"]
        seen = {split: len(learned.intersection(ids[split])) for split in ("val", "test")}
        assert run.env["seen_before"] == seen and seen["test"] > len(ids["test"]) / 2
        said = f"{seen['test']} of the {len(ids['test'])} images of test"
        assert any(said in record.message and "the same data" in record.message for record in caplog.records)
        assert said in thirtytwo.open_run(run.path).report().read_text(encoding="utf-8")


def test_whether_pictures_were_seen_is_open_where_the_folder_changed(tmp_path, caplog):
    """Of a run that did not record what its pictures are, and a picture more: their numbers are no longer the same.

    The same pictures elsewhere are known again.
    """
    pictures, digits = tmp_path / "a" / "pictures", load_digits()
    for i in range(200):
        path = pictures / str(digits.target[i] % 2) / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits.images[i].astype(np.uint8)).save(path)
    first = train(small(f"data.source={pictures}"), tmp_path / "runs")
    cut = json.loads((first.path / "split.json").read_text())
    del cut["content"]
    (first.path / "split.json").write_text(json.dumps(cut))
    copied = shutil.copytree(pictures, tmp_path / "b" / "pictures")
    words = [f"model=run:{first.path}", "data.split_seed=1"]
    known = train(small(f"data.source={copied}", *words), tmp_path / "runs")
    learned = set(first.split["ids"]["train"])
    assert known.env["seen_before"]["test"] == len(learned.intersection(known.split["ids"]["test"]))
    shutil.copy(pictures / "0" / "000.png", os.fsencode(pictures / "0") + b"/m\xf6re.png")  # no UTF-8
    caplog.clear()
    open_question = train(small(f"data.source={pictures}", *words), tmp_path / "runs")
    assert open_question.env["seen_before"] is None and "perhaps" in caplog.text
    assert "perhaps" in thirtytwo.open_run(open_question.path).report().read_text(encoding="utf-8")


def test_a_teacher_that_does_not_fit_is_one_line_and_leaves_no_folder(trained, run_copy, tmp_path, cli):
    unfinished = stopped(small(), tmp_path / "others")
    other = Run.open(run_copy)
    other.write_model(other.read_weights(), {**other.card, "classes": [*"abcdefghij"]})
    for words, message in [
        (["teacher=run:nowhere"], "train.teacher=run:nowhere: nowhere: no such run folder"),
        ([f"teacher=run:{tmp_path}"], "not a run folder"),
        ([f"teacher=run:{unfinished.path}"], "not trained to its end yet"),
        ([f"teacher={trained}"], "key 'train.teacher'"),
        ([f"teacher=run:{other.path}"], "was trained for 10 classes (a, b, c, d, e, f, g, h, i, j), the data has 10"),
        ([f"teacher=run:{trained}", "data.size=12"], "8 x 8 pixels, the data has 12 x 12: set data.size=8"),
        ([f"teacher=run:{trained}", "data.channels=3"], "on grey images, but these are RGB: set data.channels=1"),
        ([f"teacher=run:{trained}", "temperature=0"], "key 'train.temperature'"),
        ([f"teacher=run:{trained}", "teacher_weight=1.5"], "key 'train.teacher_weight'"),
    ]:
        done = cli("train", *SMALL, *words, "--out", tmp_path / "runs")
        assert done.code == 2 and message in done.err and len(done.err.strip().splitlines()) == 1, (words, done.err)
    assert not (tmp_path / "runs").exists()
