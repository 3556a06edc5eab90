import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from thirtytwo.errors import UserError
from thirtytwo.evaluation.predictions import Predictions
from thirtytwo.recipe import Recipe
from thirtytwo.runs.run import Run

CARD = {
    "model": "cnn2", "channels": 1, "size": [8, 8], "classes": ["a", "b"], "mean": [0.5], "std": [0.2], "fit": "pad",
    "parameters": 10,
}  # fmt: skip
SPLIT = {
    "name": "digits", "classes": ["a", "b"], "plan": "default", "split_seed": 0, "notes": [],
    "sizes": {"train": 3, "val": 2, "test": 2},
    "class_counts": {"train": [1, 2], "val": [1, 1], "test": [1, 1]},
    "sha256": {"train": "00" * 32, "val": "01" * 32, "test": "02" * 32},
    "ids": {"train": [0, 1, 2], "val": [3, 4], "test": [5, 6]},
}  # fmt: skip

EMPTY_VAL = {
    "format": 1, **SPLIT, "sizes": {"train": 3, "val": 0, "test": 2},
    "ids": {"train": [0, 1, 2], "val": [], "test": [5, 6]},
    "class_counts": {"train": [1, 2], "val": [0, 0], "test": [1, 1]},
}  # fmt: skip


def row(split: str, accuracy: str, **more: str) -> dict[str, str]:
    """A row of results.csv."""
    return {"run": "mine-1", "seed": "0", "split": split, "views": "1", "n": "2", "accuracy": accuracy, **more}


def record(step: int) -> dict:
    return {"step": step, "epoch": 1.0, "train_loss": 0.5, "val_loss": 0.5, "val_accuracy": 0.9}


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path, Recipe(name="mine"))


def test_folders_are_numbered_and_never_overwritten(tmp_path):
    names = [Run.create(tmp_path, Recipe(name="mine")).name for _ in range(3)]
    (tmp_path / "mine-7").mkdir()
    assert [*names, Run.create(tmp_path, Recipe(name="mine")).name] == ["mine-1", "mine-2", "mine-3", "mine-8"]
    assert Run.create(tmp_path, Recipe(name="mine-2")).name == "mine-2-1"


@pytest.mark.parametrize("key", ["device", "precision", "threads"])
def test_an_env_without_what_every_run_has_is_damaged(run, key):
    env = {"device": "cpu", "precision": "float32", "threads": 2}
    del env[key]
    run.write_env(env)
    with pytest.raises(UserError, match=rf"env\.json: damaged \(lacks {key}\)"):
        _ = run.env


def test_what_is_written_is_read(run):
    env = {"device": "cpu", "precision": "float32", "threads": 2}
    run.write_env(env)
    run.write_split(SPLIT)
    run.log(record(1))
    run.log(record(2))
    run.write_model(b"weights", CARD)
    run.set_status("running", step=2)
    again = Run.open(run.path)
    assert again.recipe == Recipe(name="mine") and again.env == env and again.split == SPLIT
    assert [each["step"] for each in again.metrics()] == [1, 2] and again.metrics()[1]["val_loss"] == 0.5
    assert again.read_weights() == b"weights" and again.card["model"] == "cnn2"
    assert again.status["state"] == "running" and again.status["step"] == 2 and again.status["started"]


def test_predictions_survive(run):
    draw = np.random.default_rng(0)
    plain = Predictions(
        draw.normal(size=(5, 3)).astype(np.float32), np.arange(5) % 3, ("a", "b", "<c>"), np.arange(5), "val"
    )
    tta = Predictions(plain.logits * 2, plain.labels, plain.classes, plain.ids, "val", views=6)
    run.write_predictions(plain, tta)
    found, averaged = Run.open(run.path).predictions("val")
    assert found.classes == plain.classes and averaged.views == 6 and found.split == "val"
    assert np.array_equal(found.logits, plain.logits) and np.array_equal(averaged.logits, tta.logits)
    assert Run.open(run.path).predictions("test") is None


@pytest.mark.parametrize("kind", [">f4", "<f8", ">f8", "longdouble", "f2"])
def test_numbers_of_any_type_are_read_as_ours(run, kind):
    path = run.path / "predictions" / "val.npz"
    path.parent.mkdir()
    logits = np.array([[0.5, -2, 1], [3, 0, 0.25]], kind)
    whole = ">i2" if ">" in kind else "u4"
    np.savez(path, logits=logits, labels=np.array([0, 1], whole), ids=np.array([4, 9], whole), classes=["a", "b", "c"])
    found, _ = run.predictions("val")
    assert found.logits.dtype == np.float32 and found.logits.dtype.isnative and found.ids.dtype == np.int64
    assert np.array_equal(found.logits, logits) and torch.from_numpy(found.logits).sum() == logits.sum()


@pytest.mark.parametrize("views", [0, 1, 1001, 5000, 2**64 - 1])
def test_predictions_that_no_scores_could_be_stored_of_are_damaged(run, views):
    path = run.path / "predictions" / "val.npz"
    path.parent.mkdir()
    logits = np.zeros((1, 2), np.float32)
    count = np.array(views, np.uint64)
    np.savez(path, logits=logits, logits_tta=logits, views=count, labels=[0], ids=[0], classes=["a", "b"])
    with pytest.raises(UserError, match=r"val.npz: damaged \(averages .* views?"):
        run.predictions("val")


def test_damaged_predictions_and_pickles_are_one_line(run):
    path = run.path / "predictions" / "val.npz"
    path.parent.mkdir()
    np.savez(path, logits=np.array([{"a": 1}], dtype=object), labels=[0], ids=[0], classes=["a"])
    for content in (path.read_bytes(), b"PK\x03\x04 cut short", b""):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"val.npz: damaged \(.*restore it, or delete it"):
            run.predictions("val")


def test_each_look_is_appended(run):
    run.record_look("train", 10, {1: 0.5, 6: 0.6})
    run.record_look("test", 10, {1: 0.5})
    looks = run.looks()
    assert [look["by"] for look in looks] == ["train", "test"]
    assert looks[0]["accuracy_tta"] == 0.6 and looks[0]["views"] == 6 and looks[1]["accuracy_tta"] is None


def test_results_replace_the_rows_of_their_split_only(run):
    run.write_results([row("val", "0.5"), row("val", "0.6")])
    run.write_results([row("test", "0.4")])
    run.write_results([row("val", "0.7")])
    assert run.results() == [row("test", "0.4"), row("val", "0.7")]


def test_columns_may_have_grown_since_results_were_written(run):
    run.write_results([row("val", "0.5")])
    run.write_results([row("test", "0.4", brier="0.1")])
    assert run.results() == [row("val", "0.5", brier=""), row("test", "0.4", brier="0.1")]


def test_a_line_that_a_kill_cut_short_is_left_out_and_later_ones_are_forgotten(run):
    for step in (10, 20, 30):
        run.log(record(step))
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4')
    assert [each["step"] for each in run.metrics()] == [10, 20, 30]
    run.forget_after(20)
    run.log(record(30))
    assert [each["step"] for each in run.metrics()] == [10, 20, 30]


@pytest.mark.parametrize("name", ["status.json", "model.json", "split.json"])
@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe"])
def test_a_damaged_file_is_one_line_that_names_it(run, name, content):
    (run.path / name).write_bytes(content)
    with pytest.raises(UserError, match=name.replace(".", r"\.")) as error:
        opened = Run.open(run.path)
        _ = opened.card, opened.split
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name, content",
    [
        ("status.json", '{"format": 1}'),
        ("status.json", '{"format": 1, "state": "running", "step": "many"}'),
        ("metrics.jsonl", "[1]\n"),
        ("metrics.jsonl", "{}\n"),
        ("metrics.jsonl", "\udcff\udcfe\n"),
        ("looks.jsonl", "{}\n"),
        ("looks.jsonl", "\udcff garbage\n"),
        ("split.json", "{}"),
        ("split.json", json.dumps(EMPTY_VAL | {"content": {"train": "0" * 48, "test": "0" * 32}})),
        ("split.json", json.dumps(EMPTY_VAL | {"labels": {"train": [0, 1, 1], "test": [0, 1]}})),
        ("model.json", json.dumps({**CARD, "sha256": "0", "size": [8]})),
        ("model.json", json.dumps({**CARD, "sha256": "0", "size": [1000000, 1000000]})),
        ("results.csv", "\udcff\udcfe"),
        ("scores.json", "{}"),
        ("scores.json", '{"scorings": [{"split": "val", "views": 1, "n": 3, "right": 2, "scores": {}}]}'),
        ("scores.json", '{"scorings": [{"split": "val", "views": 1, "n": 3, "right": 2, "scores": {"ece": 1}}]}'),
    ],
)
def test_a_file_of_the_wrong_shape_is_one_line_that_names_it(run, name, content):
    (run.path / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=name.replace(".", r"\.")) as error:
        opened = Run.open(run.path)
        _ = opened.metrics(), opened.looks(), opened.results(), opened.scores(), opened.split, opened.card
    assert "\n" not in str(error.value)


def test_another_recipe_than_the_run_was_begun_with_is_refused(run):
    path = run.path / "recipe.toml"
    for text in (path.read_text().replace("seed = 0", "seed = 9"), ""):
        path.write_text(text)
        with pytest.raises(UserError, match="not the recipe that this run began with"):
            _ = Run.open(run.path).recipe


def test_a_later_format_is_refused(run):
    path = run.path / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    with pytest.raises(UserError, match="format 2, but this version reads format 1: upgrade"):
        Run.open(run.path)


def test_weights_with_a_flipped_byte_are_refused(run):
    with pytest.raises(UserError, match="not trained to its end yet"):
        run.read_weights()
    run.write_model(b"weights", CARD)
    run.weights.write_bytes(b"weighty")
    with pytest.raises(UserError, match="damaged, its sha256 differs"):
        run.read_weights()


def test_no_run_here(tmp_path):
    for path, message in ((tmp_path, "not a run folder"), (tmp_path / "none", "no such run folder")):
        with pytest.raises(UserError, match=message):
            Run.open(path)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match="choose another --out"):
        Run.create(file, Recipe())


HOLD = """
import sys
from thirtytwo.runs.run import Run
with Run.open(sys.argv[1]).owned():
    print("mine", flush=True)
    sys.stdin.read()
"""


def test_one_process_owns_a_folder_and_a_dead_one_does_not(run):
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"mine\n"
    with pytest.raises(UserError, match="another process is working on this run"):
        run.lock()
    other.kill()
    other.wait()
    with run.owned():
        pass
