"""The loop's laws, on scikit-learn's digits."""

import os
import signal
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from listening import OnProgress
from thirtytwo import recipes
from thirtytwo.errors import UserError
from thirtytwo.files import sha256
from thirtytwo.interrupt import Interrupted
from thirtytwo.recipe import Recipe, parse_assignments
from thirtytwo.runs.checkpoint import load, steps, unpack
from thirtytwo.runs.loading import images_of
from thirtytwo.runs.run import Run
from thirtytwo.training.build import build
from thirtytwo.training.session import Session

SMALL = ["data.limit=200", "train.epochs=2", "train.eval_every=0.5", "model=cnn2(width=4)", "optim.name=sgd",
         "optim.lr=0.1"]  # fmt: skip


def small(*words: str) -> Recipe:
    return recipes.find("digits-cnn").override(parse_assignments([*SMALL, *words]))


def train(recipe: Recipe, out, act=lambda progress: None, **options) -> Run:
    session = Session.new(recipe, out=out, device="cpu", test=False)
    session.complete(listeners=[OnProgress(act)], **options)
    return session.run


def fingerprint(run: Run) -> tuple:
    """Weights and metrics, without the times."""
    metrics = [{key: value for key, value in record.items() if key != "seconds"} for record in run.metrics()]
    return sha256(run.read_weights()), metrics


def stop_at(step: int):
    """What asks the process to stop, once, as Ctrl-C does, at the first report of progress from ``step`` on."""
    sent = []

    def act(progress):
        if step <= progress.step < progress.steps and not sent:
            sent.append(progress.step)
            os.kill(os.getpid(), signal.SIGINT)

    return act


@pytest.fixture(autouse=True)
def tell_every_step(monkeypatch):
    monkeypatch.setattr("thirtytwo.training.loop.TICK", 0.0)


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tmp_path):
    one, two, other = (train(small(f"seed={seed}"), tmp_path) for seed in (0, 0, 1))
    assert fingerprint(one) == fingerprint(two)
    assert fingerprint(one)[0] != fingerprint(other)[0]


def test_the_callers_random_numbers_are_left_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(small(), tmp_path)
    assert torch.equal(torch.rand(3), expected)


VARIANTS = {
    "plain": [],
    "bf16": ["train.precision=bf16"],
    "ema": ["average=ema(0.9)"],
    "lookahead": ["average=lookahead(2)"],
    "adam": ["optim.name=adam", "optim.lr=0.003"],
    "rmsprop and clipping": ["optim.name=rmsprop", "optim.lr=0.001", "optim.clip=1"],
    "muon on the speedruns' network": ["model=speednet(widths=(8, 8, 8), whiten_bias_epochs=1)", "optim.name=muon"],
    "dropout": ["model=wideresnet(depth=10, width=1, dropout=0.3)"],
    "plateau": ["schedule=plateau(patience=1)", "optim.lr=0.5"],
    "patience": ["train.patience=1", "optim.lr=0.5", "train.epochs=4"],
    "mixtures": ["augment=flip_alternating|mixup(0.5)|cutout(2)"],
    "policy": ["augment=trivialaugment"],
    "progressive resizing": ["model=speednet(widths=(8, 8, 8))", "train.start_scale=0.5", "train.full_size_from=0.6"],
    "weighted": ["train.class_weights=balanced", "train.label_smoothing=0"],
}


@pytest.mark.parametrize("words", VARIANTS.values(), ids=VARIANTS)
def test_stopped_anywhere_and_resumed_gives_the_same_bits(words, tmp_path):
    recipe = small(*words)
    whole = train(recipe, tmp_path)
    assert steps(whole.checkpoints) == [whole.status["step"]]
    for step in (1, 4):
        session = Session.new(recipe, out=tmp_path, device="cpu")
        with pytest.raises(Interrupted):
            session.complete(listeners=[OnProgress(stop_at(step))])
        assert session.run.status["state"] == "interrupted" and not session.run.weights.exists()
        again = Session.resume(session.run.path)
        assert again.run.status["step"] >= step
        again.complete()
        assert fingerprint(again.run) == fingerprint(whole)


def test_resumed_with_other_threads_gives_the_same_bits(tmp_path):
    threads = torch.get_num_threads()
    recipe = small("model=speednet(widths=(16, 16, 16))")
    whole = train(recipe, tmp_path)
    session = Session.new(recipe, out=tmp_path, device="cpu")
    with pytest.raises(Interrupted):
        session.complete(listeners=[OnProgress(stop_at(2))])
    try:
        torch.set_num_threads(threads + 1)
        again = Session.resume(session.run.path)
        assert torch.get_num_threads() == threads
        again.complete()
    finally:
        torch.set_num_threads(threads)
    assert fingerprint(again.run) == fingerprint(whole)


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_taken(tmp_path, caplog):
    recipe = small()
    whole = train(recipe, tmp_path)
    session = Session.new(recipe, out=tmp_path, device="cpu")
    with pytest.raises(Interrupted):
        session.complete(listeners=[OnProgress(stop_at(4))], checkpoint_every=0)
    newest = session.run.checkpoints / f"step-{steps(session.run.checkpoints)[-1]:06d}" / "tensors.safetensors"
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    again = Session.resume(session.run.path)
    again.complete()
    assert any("damaged" in record.message for record in caplog.records)
    assert fingerprint(again.run) == fingerprint(whole)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_good_checkpoint(tmp_path):
    recipe = small("optim.lr=1e30", "schedule=step(at=(0.5,), gamma=0.5, warmup=1)", "train.precision=float32")
    session = Session.new(recipe, out=tmp_path, device="cpu")
    with pytest.raises(UserError, match=r"not finite at step \d+ \(epoch \d+, batch \d+\): lower optim.lr"):
        session.complete(checkpoint_every=0)
    run = Run.open(session.run.path)
    assert run.status["state"] == "failed" and "not finite" in run.status["message"]
    assert not run.weights.exists()
    for step in steps(run.checkpoints):
        state, _ = load(run.checkpoints / f"step-{step:06d}")
        assert all(tensor.isfinite().all() for tensor in state.values())


def test_patience_keeps_the_weights_that_were_best_on_val(tmp_path):
    session = Session.new(
        small("train.patience=2", "train.epochs=40", "optim.lr=1", "schedule=constant"), out=tmp_path, device="cpu"
    )
    session.complete()
    run = session.run
    losses = [record["val_loss"] for record in run.metrics()]
    best = min(losses)
    assert run.status["step"] < run.status["steps"] and losses.index(best) == len(losses) - 3
    assert float(next(row for row in run.results() if row["split"] == "val")["nll"]) == pytest.approx(best, rel=1e-4)


def test_test_is_looked_at_once_after_the_last_step_or_not_at_all(tmp_path):
    withheld = train(small(), tmp_path)
    assert withheld.looks() == [] and withheld.predictions("test") is None and withheld.status["state"] == "finished"
    session = Session.new(small(), out=tmp_path, device="cpu")
    session.complete()
    (look,) = session.run.looks()
    plain, _ = session.run.predictions("test")
    assert look["by"] == "train" and look["n"] == 360 and look["accuracy"] == pytest.approx(plain.correct.mean())
    assert look["weights_sha256"] == session.run.card["sha256"]


def test_resuming_a_finished_run_changes_nothing_and_is_no_look(tmp_path):
    session = Session.new(small(), out=tmp_path, device="cpu")
    session.complete()
    before = {path: path.read_bytes() for path in session.run.path.rglob("*") if path.is_file()}
    Session.resume(session.run.path).complete()
    assert {path: path.read_bytes() for path in session.run.path.rglob("*") if path.is_file()} == before


def test_a_withheld_test_stays_withheld_when_the_run_is_resumed(tmp_path):
    session = Session.new(small(), out=tmp_path, device="cpu", test=False)
    with pytest.raises(Interrupted):
        session.complete(listeners=[OnProgress(stop_at(1))])
    Session.resume(session.run.path).complete()
    assert session.run.status["state"] == "finished" and session.run.looks() == []


def test_weights_that_are_not_finite_are_never_kept(tmp_path):
    """Each loss is finite here, but the last step's update is not."""
    recipe = small("optim.lr=1e30", "epochs=0.01", "schedule=constant", "train.precision=float32")
    session = Session.new(recipe, out=tmp_path, device="cpu")
    with pytest.raises(UserError, match="not finite at step 1 "):
        session.complete(checkpoint_every=0)
    run = session.run
    assert (
        run.status["state"] == "failed"
        and not run.weights.exists()
        and run.looks() == []
        and steps(run.checkpoints) == []
    )


def test_trying_the_parts_out_changes_no_bit(tmp_path):
    recipe = small("model=speednet(widths=(8, 8, 8))", "average=ema(0.9)")
    session = Session.new(recipe, out=tmp_path, device="cpu")
    untried = build(recipe, session.device, session.parts.splits)
    tried = session.parts.model.state_dict()
    assert all(torch.equal(tensor, tried[name]) for name, tensor in untried.model.state_dict().items())


def test_images_that_changed_are_refused(tmp_path):
    session = Session.new(small(), out=tmp_path, device="cpu")
    with pytest.raises(Interrupted):
        session.complete(listeners=[OnProgress(stop_at(1))])
    record = session.run.split
    record["sha256"]["val"] = "0" * 64
    session.run.write_split(record)
    with pytest.raises(UserError, match="the val images of 'digits' are not those that this run was made with"):
        Session.resume(session.run.path)


def test_a_class_that_is_new_or_gone_is_named(tmp_path):
    images = load_digits().images
    for name, first in (("cat", 0), ("dog", 40)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(first, first + 40):
            Image.fromarray((images[i] / 16 * 255).astype(np.uint8)).save(tmp_path / "pets" / name / f"{i}.png")
    run = train(small(f"data.source={tmp_path / 'pets'}"), tmp_path)
    (tmp_path / "pets" / "elk").mkdir()
    (tmp_path / "pets" / "cat" / "0.png").rename(tmp_path / "pets" / "elk" / "0.png")
    for name, said in (("dog", r"\(new: elk\)"), ("puppy", r"\(new: elk and puppy, gone: dog\)")):
        (tmp_path / "pets" / "dog").rename(tmp_path / "pets" / name)
        with pytest.raises(UserError, match=rf"{run.path}: the classes of .*pets' are not those .* {said}"):
            images_of(run, "val")


def test_a_mistake_leaves_no_folder_behind(tmp_path):
    for words in (["augment=flop"], ["model=cnn3"], ["schedule=cosin"], ["average=emo"], ["optim.name=sgdd"],
                  ["data.source=digitz"], ["model=cnn2(width=0)"], ["data.plan=val-from-test"],
                  ["augment=translate(40)"], ["train.batch_size=1", "model=resnet18"]):  # fmt: skip
        with pytest.raises(UserError):
            train(small(*words), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_weights_hold_the_normalisation_and_nothing_to_run(tmp_path):
    run = train(small(), tmp_path)
    tensors = unpack(run.read_weights(), run.weights)
    assert {"mean", "std"} <= set(tensors) and all(name.startswith(("network.", "mean", "std")) for name in tensors)
    assert run.card["classes"] == [str(digit) for digit in range(10)] and tuple(run.card["size"]) == (8, 8)


def test_it_trains_outside_the_main_thread(tmp_path):
    """A notebook's or a service's worker thread can install no signal handlers."""
    found = []
    thread = threading.Thread(target=lambda: found.append(train(small(), tmp_path)))
    thread.start()
    thread.join()
    assert found and found[0].status["state"] == "finished"
