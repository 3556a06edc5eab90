"""Scores are computed once a run and stored; whatever shows them reads them, and what is missing is computed."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import thirtytwo
from thirtytwo.device import Device
from thirtytwo.evaluation import metrics
from thirtytwo.evaluation.estimate import Estimate
from thirtytwo.runs import scored
from thirtytwo.runs.loading import load_classifier, load_splits
from thirtytwo.runs.run import Run
from thirtytwo.runs.score import train_accuracy
from thirtytwo.study.definition import from_toml
from thirtytwo.study.folder import StudyFolder

COUNTED = """
import os
from dataclasses import dataclass
from thirtytwo.evaluation.estimate import Estimate
from thirtytwo.evaluation.metrics import Metric, metrics

@metrics.register_as("counted")
@dataclass(frozen=True)
class Counted(Metric):
    title = "times that it was called"
    interval = "none"
    def __call__(self, predictions):
        with open("calls.txt", "a") as file:
            file.write(f"{predictions.split} {predictions.views}\\n")
        return Estimate(float("nan"), float("nan"), float("nan"), len(predictions))
"""


def start(*words: object, cwd: Path) -> subprocess.CompletedProcess:
    code = "from thirtytwo.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def counted(tmp_path: Path) -> Path:
    """A folder with a metric that writes down each time that it is called."""
    (tmp_path / "counted.py").write_text(COUNTED)
    return tmp_path


def test_a_training_computes_each_score_once(counted):
    words = ("digits-cnn", "epochs=1", "evaluate.views=flip", "--import", "counted.py")
    run = json.loads(start("train", *words, "--json", cwd=counted).stdout)["run"]
    for verb in (("report",), ("runs", "show")):
        start(*verb, run, "--import", "counted.py", cwd=counted)
    assert (counted / "calls.txt").read_text() == "val 1\nval 2\ntest 1\ntest 2\n"
    row = Run.open(counted / run).results()[0]
    assert row["counted"] == "nan" and list(row)[-4] == "macro_f1_high"
    shown = start("runs", "show", run, cwd=counted).stdout  # without the file that says what it is
    assert "counted" in shown.lower() and "Macro F1" in shown


def test_a_metric_that_was_added_later_is_stored_when_the_run_is_scored_again(counted, run_copy):
    (run_copy / "scores.json").unlink()  # as the version before left it
    before = Run.open(run_copy).results()
    run = counted / "old"
    shutil.copytree(run_copy, run)
    start("report", run, "--import", "counted.py", cwd=counted)
    assert "Times that it was called" in (run / "report.html").read_text() and not (run / "scores.json").exists()
    (counted / "calls.txt").unlink()
    start("test", run, "--import", "counted.py", cwd=counted)
    opened = Run.open(run)
    assert [look["by"] for look in opened.looks()] == ["train", "test"]
    assert all(each["scores"]["counted"]["value"] is None for each in opened.scores())
    calls = (counted / "calls.txt").read_text().splitlines()
    assert len(calls) == len({*calls}) == len(opened.scores())
    rows, ends = opened.results(), {"counted_low": "nan", "counted_high": "nan"}
    assert {row["split"] for row in rows} == {"val", "test"} and {row["counted"] for row in rows} == {"nan"}
    assert [{**row, "run": before[0]["run"]} for row in rows] == [{**row, "counted": "nan"} | ends for row in before]


def test_what_is_stored_is_what_the_predictions_say(trained):
    run = Run.open(trained)
    found = scored.stored_scores(run)
    predicted = [each for split in ("val", "test") for each in run.predictions(split) if each]
    assert [(each.split, each.views, each.n, each.right) for each in found] == [
        (each.split, each.views, len(each), int(each.correct.sum())) for each in predicted
    ]
    assert [each.scores for each in found] == [metrics.scores(each) for each in predicted]
    assert thirtytwo.open_run(trained).scores("val") == found[0].scores
    opened = thirtytwo.open_run(trained)
    assert run.accuracies() == {split: opened.scores(split)["accuracy"] for split in ("val", "test")}


def test_the_accuracy_on_training_images_is_of_the_images_as_they_are(trained):
    opened = thirtytwo.open_run(trained)
    run, train = opened.run, load_splits(opened.run.recipe).train
    device = Device.choose("cpu", run.env["precision"])
    right = opened.predict_proba(train.images[:, 0].numpy()).argmax(1) == train.labels.numpy()
    model = load_classifier(run, device)
    assert train_accuracy(model, train, device, len(train), seed=0) == (pytest.approx(right.mean()), len(train))
    share, count = train_accuracy(model, train, device, run.split["sizes"]["val"], run.recipe.seed)
    assert (share, count) == (run.status["train_accuracy"], run.status["train_images"])
    assert share == pytest.approx(right.mean(), abs=4 * (right.mean() * (1 - right.mean()) / count) ** 0.5)
    assert f"{count} training images as they are" in (trained / "report.html").read_text()


def test_an_accuracy_is_found_in_whatever_file_there_is(run_copy):
    run = Run.open(run_copy)
    expected = run.accuracies()
    assert list(expected) == ["val", "test"]
    for missing in ("scores.json", "results.csv"):
        (run_copy / missing).unlink()
        assert run.accuracies() == expected
    stored = scored.stored_scores(run)
    assert {each.split: each.scores["accuracy"] for each in stored if each.views == 1} == expected
    shutil.rmtree(run_copy / "predictions")
    assert run.accuracies() == {} and scored.stored_scores(run) == []


def test_a_score_that_says_nothing_is_stored_as_such_and_not_computed_again(run_copy):
    run = Run.open(run_copy)
    plain, _ = run.predictions("val")
    few = metrics.of(plain.logits[:, :5], plain.labels % 5)
    scored.store_scores(run, type(plain)(few.logits, few.labels, few.classes, few.ids, "val"))
    (run_copy / "predictions" / "val.npz").unlink()  # what is missing would be computed from it
    assert run.scores()[0]["scores"]["top5"] is None
    assert list(scored.stored_scores(run)[0].scores) == ["accuracy", "balanced_accuracy", "nll", "ece", "macro_f1"]


IMPORTED = """
import sys
from thirtytwo.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code
print(sorted({"torch", "torchvision", "scipy", "sklearn", "matplotlib"} & {*sys.modules}), file=sys.stderr)
"""


def imported(*words: object) -> tuple[str, str]:
    """What a command printed, and which heavy packages it imported."""
    environment = {**os.environ, "COLUMNS": "200"}
    command = [sys.executable, "-c", IMPORTED, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    return done.stdout, done.stderr.strip()


def test_listing_runs_imports_neither_torch_nor_scipy_and_opens_no_predictions(trained, tmp_path):
    for number in range(20):
        ignored = shutil.ignore_patterns("predictions", "figures", "report.html", "model.safetensors")
        shutil.copytree(trained, tmp_path / f"run-{number}", ignore=ignored)
    shown, heavy = imported("runs", "list", tmp_path)
    accuracy = thirtytwo.open_run(trained).scores("test")["accuracy"]
    assert heavy == "[]"
    assert shown.count(f"{accuracy.number()}  {accuracy.interval()}") >= 20 and "run-19" in shown


def test_the_status_of_a_study_imports_neither_torch_nor_scipy(trained, tmp_path):
    (tmp_path / "s.toml").write_text('base = "digits-cnn"\nseeds = [0, 1]\n[arms.a]\n[arms.b]\naugment = "flip"\n')
    folder = StudyFolder.create(tmp_path / "studies", from_toml(tmp_path / "s.toml"), threads=1)
    for arm, seed in (("a", 0), ("b", 0), ("b", 1)):
        shutil.copytree(trained, folder.run_path(arm, seed))
    shown, heavy = imported("study", "status", folder.path)
    assert heavy == "[]"
    accuracy = thirtytwo.open_run(trained).scores("val")["accuracy"]
    assert shown.count(accuracy.quantity(fine=True)) == 3 and "waiting" in shown


@pytest.mark.parametrize("broken", ["scores.json", "results.csv", "predictions/val.npz"])
def test_a_file_that_cannot_be_read_is_found_before_the_look(broken, run_copy, cli):
    if broken == "predictions/val.npz":
        (run_copy / "scores.json").unlink()  # as the version before left it: val's scores are computed from these
    (run_copy / broken).write_text("{\n1\n")
    looks = len(Run.open(run_copy).looks())
    done = cli("test", run_copy)
    assert done.code == 2 and f"{run_copy / broken}: damaged" in done.err and done.err.count("\n") == 1
    assert len(Run.open(run_copy).looks()) == looks


@pytest.mark.parametrize(
    "given",
    [
        Estimate(1, 0, 2, -5),
        Estimate(1, 0, 2, 10**30),
        Estimate(1e300, 0, 1e301, 5),
        Estimate(1, 0, 2, None),
        Estimate(1, 0, 2, 1.5),
    ],
)
def test_a_score_that_no_file_can_hold_is_left_out_and_the_run_stays_whole(given, run_copy, caplog):
    with metrics.metrics.temporary():

        @metrics.metrics.register_as("odd")
        @dataclass(frozen=True)
        class Odd(metrics.Metric):
            title = "odd"
            interval = "none"

            def __call__(self, predictions):
                return given

        run = Run.open(run_copy)
        scored.store_scores(run, run.predictions("val")[0])
    assert "metric 'odd'" in caplog.text and "is left out" in caplog.text
    assert "odd" not in run.scores()[0]["scores"] and thirtytwo.open_run(run_copy).report().is_file()
