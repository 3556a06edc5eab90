"""Studies: what they are made of, that a kill loses nothing, and that test stays unseen until closing."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from sklearn.datasets import load_digits

import thirtytwo
from thirtytwo import recipes
from thirtytwo.files import sha256
from thirtytwo.studies import find, studies
from thirtytwo.study.definition import from_toml, from_values
from thirtytwo.study.folder import StudyFolder

SMALL = """
base = "digits-cnn"
seeds = [0, 1]
set = { train = { epochs = 2 }, data = { limit = 300 } }
[arms.none]
[arms.flip]
augment = "flip"
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def start(*words: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", "from thirtytwo.cli import main; main()", "study", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refused(done, *fragments: object) -> None:
    assert done.code == 2 and len(done.err.splitlines()) == 1, done.err
    for fragment in fragments:
        assert str(fragment) in done.err


@pytest.mark.parametrize("name", studies.names())
def test_a_named_study_is_whole(name: str) -> None:
    study = find(name)
    assert study.name == name and len(study.seeds) >= 3
    assert from_values(json.loads(json.dumps(study.model_dump()))) == study
    for arm, seed in study.runs():
        assert study.recipe(arm, seed).seed == seed
    assert len({study.recipe(arm, 0).to_toml() for arm in study.arms}) == len(study.arms)


def test_a_file_reads_as_written(small: Path, tmp_path: Path) -> None:
    study = from_toml(small)
    assert study.name == "small" and study.set == {"train.epochs": 2, "data.limit": 300}
    assert study.runs() == [("none", 0), ("flip", 0), ("none", 1), ("flip", 1)]
    recipe = study.recipe("flip", 1)
    assert (recipe.augment, recipe.seed, recipe.train.epochs, recipe.data.limit) == ("flip", 1, 2, 300)
    copy = tmp_path / "copy.toml"
    copy.write_text(study.to_toml())
    assert from_toml(copy) == study
    assert study.override({"lr": 0.3, "epochs": 5}).recipe("none", 0).train.epochs == 5
    unset = study.override({"limit": None})
    copy.write_text(unset.to_toml())
    assert from_toml(copy).recipe("none", 0).data.limit is None


def test_a_base_that_is_a_file_lies_beside_the_study(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('name = "mine"\nmodel = "lenet"\n')
    (tmp_path / "s.toml").write_text(SMALL.replace("digits-cnn", "mine.toml"))
    assert from_toml(tmp_path / "s.toml").recipe("none", 0).model == "lenet"


@pytest.mark.parametrize(
    "text, fragments",
    [
        ("[arms.a]\nlrr = 1\n[arms.b]", ["unknown key 'lrr'", "optim.lr"]),
        ("[arms.a]\nlr = -1\n[arms.b]", ["arm 'a'", "optim.lr", "greater than 0"]),
        ("[arms.a]\n[arms.b]\nmodel = 'cnn22'", ["cnn22", "did you mean 'cnn2'"]),
        ("[arms.a]", ["arms", "at least 2"]),
        ("seeds = [1, 1]\n[arms.a]\n[arms.b]", ["seeds", "each seed may be named once"]),
        ("seeds = 3\n[arms.a]\n[arms.b]", ["seeds"]),
        ("sedes = [1]\n[arms.a]\n[arms.b]", ["sedes"]),
        ("[arms.'a/b']\n[arms.b]", ["a/b"]),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(cli, tmp_path, text, fragments):
    (tmp_path / "bad.toml").write_text(f'base = "digits-cnn"\n{text}\n')
    done = cli("study", tmp_path / "bad.toml", "--out", tmp_path / "studies")
    refused(done, *fragments)
    assert not (tmp_path / "studies").exists()


def test_a_study_grows_by_seeds_and_arms_and_says_so(cli, small, tmp_path):
    base = tmp_path / "base.toml"
    recipe = recipes.find("digits-cnn")
    base.write_text(recipe.to_toml())
    text = SMALL.replace('"digits-cnn"', '"base.toml"')
    small.write_text(text)
    words = ("study", small, "--out", tmp_path / "studies", "--jobs", "1")
    folder = tmp_path / "studies" / "small"
    assert cli(*words, "--seeds", "1").code == 0
    before = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/model.safetensors")}
    report = folder / "report.html"
    assert len(before) == 2 and "were added" not in report.read_text()
    small.write_text(text + '\n[arms.shift]\naugment = "translate(1)"\n')
    assert cli(*words, "--seeds", "2").code == 0
    after = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/model.safetensors")}
    assert len(after) == 6 and before.items() <= after.items(), "what is there is not trained again"
    assert "were added" in report.read_text() and StudyFolder.open(folder).grown == 1

    refused(cli(*words, "--seeds", "1"), "other settings")
    study = from_toml(small).with_seeds(2)
    turned = study.model_copy(update={"set": dict(reversed(study.set.items()))})
    more = StudyFolder.create(folder.parent, study.with_seeds(9), threads=1, imports=[tmp_path / "mine.py"])
    assert (more.grown, len(more.study.seeds), more.imports) == (2, 9, [str(tmp_path / "mine.py")])
    for again in (study, turned):  # nothing of what is taken back had begun; an order is no change
        fewer = StudyFolder.create(folder.parent, again, threads=1)
        assert (fewer.grown, fewer.study.seeds) == (2, (0, 1))
    base.write_text(recipe.override({"optim.lr": 0.5}).to_toml())
    refused(cli(*words, "--seeds", "2"), "another recipe")
    assert cli("study", "close", folder).code == 0
    base.write_text(recipe.to_toml())
    refused(cli(*words, "--seeds", "3"), "was closed")


def test_from_start_to_closing(cli, small, tmp_path):
    folder = tmp_path / "studies" / "small"
    words = (small, "--out", folder.parent, "--jobs", "2")
    done = cli("study", *words)
    assert done.code == 0, done.err
    assert "flip" in done.out and str(folder / "report.html") in done.out
    study = StudyFolder.open(folder)
    runs = {(trial.arm, trial.seed): trial.run for trial in study.trials()}
    assert {run.status["state"] for run in runs.values()} == {"finished"}
    assert all(run.predictions("val") and not run.predictions("test") and not run.looks() for run in runs.values())
    assert {run.env["threads"] for run in runs.values()} == {study.threads}

    # The table is SciPy's, from the stored predictions.
    found = study.compared("val")[1].difference
    a, b = ([float(runs[arm, s].predictions("val")[0].correct.mean()) for s in (0, 1)] for arm in ("none", "flip"))
    assert found.value.value == pytest.approx(np.mean(b) - np.mean(a))
    if np.std(np.subtract(b, a)) > 0:
        assert found.p == pytest.approx(stats.ttest_rel(b, a).pvalue)
    compared = cli("compare", *(run.path for run in runs.values()), "--json")
    rows = json.loads(compared.out)["groups"]
    assert rows[1]["difference"]["value"]["value"] == pytest.approx(found.value.value)

    # An arm that lacks seeds keeps its own, and is compared over those that both have; test belongs to the closing.
    hidden = runs["none", 1].path / "predictions" / "val.npz"
    hidden.rename(hidden.with_suffix(".away"))
    first, second = study.compared("val")
    assert (len(first.by_seed), len(second.by_seed), second.difference.test) == (1, 2, "McNemar")
    pair = [runs[arm, 0].predictions("val")[0] for arm in ("none", "flip")]
    assert second.difference.value.value == pytest.approx(np.mean(pair[1].correct) - np.mean(pair[0].correct))
    hidden.with_suffix(".away").rename(hidden)
    refused(cli("test", runs["flip", 0].path), f"study close {folder}")

    # The gap between training images and val is drawn for each arm.
    both = [(runs["flip", s].status["train_accuracy"], runs["flip", s].predictions("val")[0]) for s in (0, 1)]
    gap = np.mean([train - val.correct.mean() for train, val in both])
    assert f"flip {100 * gap:+.1f} points" in (folder / "report.html").read_text()
    assert (folder / "figures" / "gaps.png").stat().st_size > 1000

    again = cli("study", *words, "--json")  # nothing is left to train, and nothing changes
    assert (
        again.code == 0
        and json.loads(again.out)["arms"] == json.loads(cli("study", "report", folder, "--json").out)["arms"]
    )
    refused(cli("study", small, "lr=0.01", "--out", folder.parent), "other settings")
    refused(cli("study", "close", folder, "--arm", "flop"), "did you mean 'flip'")

    closed = cli("study", "close", folder)
    assert closed.code == 0 and "test accuracy" in closed.out
    for run in runs.values():
        assert [look["by"] for look in run.looks()] == ["study"] and run.predictions("test")
    refused(cli("study", "close", folder), "was closed on")
    refused(cli("study", folder), "was closed on")
    assert "is a little too good" not in (folder / "report.html").read_text()
    assert "finished" in json.loads(cli("study", "status", folder, "--json").out)["runs"][0]["state"]


def table(folder: Path) -> tuple[list, list[str]]:
    study = StudyFolder.open(folder)
    weights = [sha256((trial.path / "model.safetensors").read_bytes()) for trial in study.trials()]
    return [(row.name, row.by_seed, str(row.difference)) for row in study.compared("val")], weights


def finished(folder: Path) -> int:
    """How many of the study's runs are; none before it has begun."""
    if not (folder / "study.json").exists():
        return 0
    return sum(trial.state == "finished" for trial in StudyFolder.open(folder).trials())


def alive(folder: Path) -> bool:
    """Whether any process still works on a run of the study."""
    return any(trial.run is not None and trial.run.busy for trial in StudyFolder.open(folder).trials())


def test_killed_three_times_at_random_it_ends_with_the_same_table(small, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    words = (small, "--seeds", "3", "--jobs", "2", "--quiet")
    assert start(*words, "--out", whole).wait(timeout=200) == 0
    draw = np.random.default_rng(0)
    for kill in range(3):
        process = start(*words, "--out", killed)
        while finished(killed / "small") < 2 * kill:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        time.sleep(float(draw.uniform(0, 6 if kill == 0 else 1)))
        assert process.poll() is None, "not killed three times: the study is too short for this machine"
        process.send_signal(signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 20
        while (killed / "small" / "study.json").exists() and alive(killed / "small"):
            assert time.monotonic() < deadline, "a worker has outlived the study"
            time.sleep(0.1)
    process = start(*words, "--out", killed)
    assert process.wait(timeout=200) == 0, process.communicate()
    assert table(killed / "small") == table(whole / "small")


def test_asked_to_stop_it_saves_and_says_how_to_go_on(small, tmp_path):
    process = start(small, "epochs=500", "--out", tmp_path / "s", "--jobs", "1")
    run = tmp_path / "s" / "small" / "runs" / "none-seed0"
    deadline = time.monotonic() + 100
    while not (run / "metrics.jsonl").exists() or not (run / "metrics.jsonl").stat().st_size:
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "continues" in err and "Traceback" not in err
    study = StudyFolder.open(tmp_path / "s" / "small")
    assert study.trial("none", 0).state == "interrupted" and not alive(study.path)


def test_a_run_that_fails_is_named_and_stops_no_other(cli, small, tmp_path):
    small.write_text(SMALL + '[arms.wild]\n"optim.lr" = 1e30\n')
    done = cli("study", small, "--out", tmp_path / "s", "--seeds", "1", "--quiet")
    assert (
        done.code == 2 and "wild, seed 0" in done.err and "not finite" in done.err and "1 of 3 runs failed" in done.err
    )
    states = {trial.arm: trial.state for trial in StudyFolder.open(tmp_path / "s" / "small").trials()}
    assert states == {"none": "finished", "flip": "finished", "wild": "failed"}
    folder = tmp_path / "s" / "small"
    status = folder / "runs" / "wild-seed0" / "status.json"  # as if it had failed before its first step
    status.write_text(
        json.dumps({key: each for key, each in json.loads(status.read_text()).items() if key != "seconds"})
    )
    assert cli("study", "report", folder).code == 0
    refused(cli("study", "close", folder), "1 of 3 runs is not finished", "--arm")
    assert cli("study", "close", folder, "--arm", "none", "--arm", "flip").code == 0


def test_without_the_first_arm_nothing_is_compared_with_another(cli, small, tmp_path):
    small.write_text(SMALL.replace("[arms.none]", '[arms.none]\n"optim.lr" = 1e30') + "[arms.blur]\naugment = 'blur'\n")
    done = cli("study", small, "--out", tmp_path / "s", "--seeds", "1", "--json")
    assert done.code == 2 and "none, seed 0" in done.err
    rows = json.loads(done.out)["arms"]
    assert [row["name"] for row in rows] == ["flip", "blur"] and not any(row["difference"] for row in rows)


def test_one_process_owns_a_study(cli, small, tmp_path):
    process = start(small, "epochs=500", "--out", tmp_path / "s")
    folder = tmp_path / "s" / "small"
    deadline = time.monotonic() + 60
    while not (folder / "runs").exists():
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.05)
    refused(cli("study", folder), "another process is working on this study")
    process.kill()
    process.communicate()


def test_what_is_no_study(cli, tmp_path):
    refused(cli("study", "augmentatoin"), "unknown study 'augmentatoin': did you mean 'augmentation'?")
    refused(cli("study", "status", tmp_path), "not a study's folder")
    with pytest.raises(thirtytwo.UserError, match="seeds"):
        thirtytwo.run_study("digits", out=tmp_path, seeds=0)
    refused(cli("compare", tmp_path, tmp_path), "not a run folder")
    assert "augmentation" in cli("study", "list").out
    assert "[arms.flip]" in cli("study", "show", "augmentation").out


def test_compare_needs_two_recipes_or_the_word_vs(cli, run_copy):
    refused(cli("compare", run_copy, run_copy), "'vs'")
    refused(cli("compare", run_copy, "vs"), "'vs' belongs between runs")
    same_name = run_copy.parent / "elsewhere" / run_copy.name
    same_name.mkdir(parents=True)
    shutil.copytree(run_copy, same_name, dirs_exist_ok=True)
    rows = json.loads(cli("compare", run_copy, "vs", same_name, "--json").out)["groups"]
    assert [row["name"] for row in rows] == [str(run_copy), str(same_name)]
    done = cli("compare", run_copy, "vs", run_copy)
    assert done.code == 0 and "+0.00" in done.out and "McNemar" in done.out


def test_a_study_whose_data_was_moved_is_closed_where_it_is_now(cli, small, tmp_path):
    digits = load_digits()
    for i in range(200):
        (tmp_path / "pictures" / str(digits.target[i])).mkdir(parents=True, exist_ok=True)
        pixels = (digits.images[i] / 16 * 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / str(digits.target[i]) / f"{i}.png")
    result = thirtytwo.run_study(
        str(small), out=tmp_path / "s", seeds=1, epochs=1, source=str(tmp_path / "pictures"), data__limit=None
    )
    (tmp_path / "pictures").rename(tmp_path / "elsewhere")
    refused(cli("study", "close", result.path), "pictures, which is gone: say where they are now (--data NEW")
    assert cli("study", "close", result.path, "--data", tmp_path / "elsewhere").code == 0
    assert thirtytwo.open_study(result.path).run("flip", 0).scores("test")


def test_a_study_from_python(small, tmp_path):
    result = thirtytwo.run_study(str(small), out=tmp_path / "s", seeds=1, train__epochs=1)
    assert [row.name for row in result.table()] == ["none", "flip"]
    page = result._repr_html_()
    assert "flip" in page and "val accuracy" in page
    assert result.run("flip", 0).scores("val")["accuracy"].value == result.table()[1].by_seed[0]
    assert not result.run("flip", 0).scores("test")
    result.close()
    assert "test accuracy" in result._repr_html_() and result.run("flip", 0).scores("test")
    assert thirtytwo.open_study(result.path).table()[1].by_seed == result.table()[1].by_seed
    assert (result.report().parent / "results.csv").read_text().count("\n") == 1 + 2 * 2
