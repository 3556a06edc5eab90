"""Runs and studies that earlier versions made, kept in ``before``, are opened, resumed, reported on and compared."""

import json
import shutil
from pathlib import Path

import pytest

import thirtytwo
from thirtytwo.runs.run import Run
from thirtytwo.study.folder import StudyFolder

BEFORE = Path(__file__).parent / "before"
RUNS = [path.parent.relative_to(BEFORE) for path in sorted(BEFORE.rglob("status.json"))]


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """A copy, since a test may change what it opens."""
    return Path(shutil.copytree(BEFORE, tmp_path / "before"))


@pytest.mark.parametrize("name", RUNS, ids=str)
def test_a_run_is_read_shown_and_reported_on(name, before, cli):
    run = Run.open(before / name)
    assert run.recipe.model == "cnn2(width=4)" and run.env["thirtytwo"] == "0.1.0" and run.split["sizes"]["test"] == 360
    assert cli("runs", "show", run.path).code == 0
    assert cli("report", run.path).code == 0
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "digits" in page and ("finished" in run.status["state"] or "interrupted" in page)


def test_the_scores_are_those_of_results_csv(before):
    """They are computed from the predictions, since there is no scores.json."""
    run = thirtytwo.open_run(before / "finished")
    assert not (run.path / "scores.json").exists()
    row = next(row for row in run.run.results() if row["split"] == "test" and row["views"] == "1")
    scores = run.scores("test")
    assert {*scores} == {"accuracy", "balanced_accuracy", "top5", "nll", "ece", "macro_f1"}
    del scores["balanced_accuracy"]  # which that version did not have
    for name, estimate in scores.items():
        ends = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
        assert {end: f"{value:.6g}" for end, value in ends.items()} == {end: row[f"{name}{end}"] for end in ends}


def test_a_run_predicts_is_tested_again_and_exported(before, tmp_path):
    run = thirtytwo.open_run(before / "finished", device="cpu")
    assert run.predict("val:712")[0].classes
    accuracy = run.scores("test")["accuracy"]
    assert run.test()["accuracy"] == accuracy and len(run.run.looks()) == 2
    assert (run.path / "scores.json").is_file()
    assert run.export(tmp_path / "net.pth").is_file()
    assert thirtytwo.open_run(before / "imported").predict_proba("val:712").shape == (1, 10)


def test_a_run_is_listed(before, cli):
    listed = json.loads(cli("runs", "list", before, "--json").out)
    assert {Path(row["run"]).name: row["state"] for row in listed} == {
        "finished": "finished", "imported": "imported", "interrupted": "interrupted"}  # fmt: skip
    assert all(row["val"] and row["test"] for row in listed if row["state"] == "finished")


def test_an_interrupted_run_goes_on_to_its_end(before):
    seen = len(Run.open(before / "interrupted").metrics())
    run = thirtytwo.resume(before / "interrupted", device="cpu", progress=False)
    assert run.run.status["state"] == "finished" and run.run.status["step"] == 600
    assert seen < len(run.run.metrics()) and run.scores("test")["accuracy"].value > 0.8


def test_a_closed_study_is_compared_and_reported_on(before, cli):
    table = thirtytwo.open_study(before / "closed").table()
    runs = before / "closed" / "runs"
    groups = {arm: [runs / f"{arm}-seed{seed}" for seed in (0, 1)] for arm in ("plain", "mirror")}
    assert thirtytwo.compare(groups, split="test") == table
    assert table[1].difference.test == "paired t" and table[1].name == "mirror"
    assert cli("study", "report", before / "closed").code == 0 and (before / "closed" / "report.html").is_file()
    assert cli("compare", *groups["plain"], *groups["mirror"], "--split", "test").code == 0


def test_an_open_study_trains_what_it_lacks_and_is_closed(before, cli):
    folder = before / "open"
    assert "waiting" in cli("study", "status", folder).out
    assert cli("study", "run", folder, "--jobs", 1, "--quiet").code == 0
    assert all(trial.state == "finished" for trial in StudyFolder.open(folder).trials())
    assert cli("study", "close", folder).code == 0
    assert StudyFolder.open(folder).closed
