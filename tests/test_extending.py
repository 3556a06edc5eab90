"""The components of docs/extending.md, added in one file of the user's own."""

import csv
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from thirtytwo.runs.run import Run

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


def thirtytwo(*words: object, cwd: Path) -> subprocess.CompletedProcess:
    code = "from thirtytwo.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *map(str, words)], cwd=cwd, capture_output=True, text=True)


BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("user")
    code = next(text for language, text in BLOCKS if language == "python" and text.startswith("# mine.py"))
    (folder / "mine.py").write_text(code)
    return folder


def test_the_pages_commands_do_what_it_says(here):
    commands = next(text for language, text in BLOCKS if not language)
    train, listing, model, show = (line.replace("'", "").split()[1:] for line in commands.strip().splitlines())
    model[1] = "tiny(width=8)"
    done = thirtytwo(*train, "--json", cwd=here)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["scores"]["test"]["accuracy"]["value"] > 0.9
    assert "The tiny network on the even digits" in thirtytwo(*listing, cwd=here).stdout
    assert "total" in thirtytwo(*model, cwd=here).stdout
    assert thirtytwo(*show, cwd=here).returncode == 0 and (here / "data.png").is_file()


def test_a_run_says_which_file_it_needs_and_never_runs_it_by_itself(here):
    words = ("train", "even-tiny", "epochs=1", "--import", "mine.py", "--json")
    run = json.loads(thirtytwo(*words, cwd=here).stdout)["run"]
    done = thirtytwo("test", run, cwd=here)
    assert done.returncode == 2 and "mine.py: pass it again" in done.stderr
    assert thirtytwo("test", run, "--import", "mine.py", cwd=here).returncode == 0


def test_arguments_of_ones_own_are_checked(here):
    done = thirtytwo("train", "even-tiny", "model=tiny(width=0)", "--import", "mine.py", cwd=here)
    assert done.returncode == 2 and "tiny(width=0): argument 'width'" in done.stderr
    done = thirtytwo("train", "even-tiny", "augment=fad", "--import", "mine.py", cwd=here)
    assert done.returncode == 2 and "did you mean 'fade'?" in done.stderr


def test_from_python_importing_the_file_is_enough(here):
    code = "import mine, thirtytwo; run = thirtytwo.train('even-tiny', epochs=1); print(run.classes)"
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True)
    assert done.stdout.strip() == "('0', '2', '4', '6', '8')", done.stderr


def example(name: str) -> str:
    """The page's Python file of that name."""
    return next(text for language, text in BLOCKS if language == "python" and text.startswith(f"# {name}\n"))


def command(begin: str) -> list[str]:
    """The words after ``thirtytwo`` of the page's command that begins so."""
    lines = [line for language, text in BLOCKS if not language for line in text.splitlines()]
    return shlex.split(next(line for line in lines if line.startswith(begin)))[1:]


def test_a_tracker_hears_each_evaluation(tmp_path):
    (tmp_path / "curve.py").write_text(example("curve.py"))
    words = command("thirtytwo train digits-cnn epochs=3 --track")
    done = thirtytwo(*words, "model=cnn2(width=4)", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = Run.open(tmp_path / json.loads(done.stdout)["run"])
    with (tmp_path / "digits.csv").open() as file:
        rows = list(csv.reader(file))
    told = [(int(step), float(loss), float(accuracy)) for step, loss, accuracy in rows[1:]]
    assert told == [(each["step"], each["val_loss"], each["val_accuracy"]) for each in run.metrics()] and len(told) == 3


def test_a_tracker_that_fails_does_not_end_the_training(tmp_path):
    (tmp_path / "curve.py").write_text(example("curve.py").replace("self.rows.append", "self.nothing.append"))
    words = command("thirtytwo train digits-cnn epochs=3 --track")
    done = thirtytwo(*words, "model=cnn2(width=4)", "--json", cwd=tmp_path)
    assert done.returncode == 0 and json.loads(done.stdout)["status"]["state"] == "finished"
    assert done.stderr.count("Curve failed (AttributeError") == 1, done.stderr


def test_a_metric_of_ones_own_is_scored_stored_and_compared_by(here):
    (here / "brier.py").write_text(example("brier.py"))
    commands = next(text for language, text in BLOCKS if not language and "brier.py" in text)
    first, second, compare = (line.split()[1:] for line in commands.strip().splitlines())
    runs = [json.loads(thirtytwo(*words, "--json", cwd=here).stdout) for words in (first, second)]
    expected = [run["scores"]["val"]["brier"] for run in runs]
    assert all(0 < each["low"] < each["value"] < each["high"] < 2 for each in expected)
    compared = json.loads(thirtytwo(*compare, "--json", cwd=here).stdout)
    assert [group["mean"]["value"] for group in compared["groups"]] == pytest.approx([e["value"] for e in expected])
    assert compared["groups"][1]["difference"]["test"] == "paired t over images"
    table = thirtytwo(*compare, cwd=here).stdout
    assert "val Brier score" in table and "in its own unit" in table
    page = (here / runs[0]["run"] / "report.html").read_text(encoding="utf-8")
    assert "Brier score" in page and f"{expected[0]['value']:.4f}" in page


def test_a_statistic_of_ones_own_is_in_a_studys_report(here):
    (here / "class_gap.py").write_text(example("class_gap.py"))
    (here / "s.toml").write_text(
        'base = "digits-cnn"\nseeds = [0, 1]\n[set]\nepochs = 1\n[arms.a]\n[arms.b]\nlr = 0.05\n'
    )
    assert thirtytwo("study", "s.toml", "--quiet", cwd=here).returncode == 0
    command = next(text for language, text in BLOCKS if not language and "class_gap.py" in text)
    words = command.replace("studies/digits", "studies/s").split()[1:]
    found = json.loads(thirtytwo(*words, "--json", cwd=here).stdout)["statistics"]
    for arm in ("a", "b"):
        assert list(found[arm]) == ["ensemble", "agreement", "class_gap"]
        assert 0 < found[arm]["class_gap"]["value"] <= 1 and found[arm]["class_gap"]["n"] == 2
    assert "Best class minus worst class" in (here / "studies" / "s" / "report.html").read_text(encoding="utf-8")
