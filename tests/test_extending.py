"""The components of docs/extending.md, added in one file of the user's own."""

import csv
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from torchvision.models import squeezenet1_1

from thirtytwo.augment import augmentations
from thirtytwo.data import sources
from thirtytwo.evaluation.metrics import metrics
from thirtytwo.evaluation.statistics import statistics
from thirtytwo.explain import explanations
from thirtytwo.models import models
from thirtytwo.models.weights import formats
from thirtytwo.optim import averages, optimizers, schedules
from thirtytwo.recipes import recipes
from thirtytwo.registry import Registry
from thirtytwo.runs.run import Run
from thirtytwo.studies import studies
from thirtytwo.tracking import trackers

DOCS = Path(__file__).parents[1] / "docs"
REGISTRIES: list[Registry] = [
    augmentations, averages, explanations, formats, metrics, models, optimizers, recipes, schedules, sources,
    statistics, studies, trackers,
]  # fmt: skip


def blocks(page: str) -> list[tuple[str, str]]:
    """The fenced blocks of a page: their languages, and what they hold."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


BLOCKS = blocks("extending.md")


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """A folder with the files of the user's own that the pages show, each under the name in its first line."""
    folder = tmp_path_factory.mktemp("user")
    for language, text in BLOCKS + blocks("models.md"):
        if language == "python" and (name := re.match(r'(?:# |""")(\w+\.py)', text)):
            (folder / name[1]).write_text(text)
    return folder


@pytest.fixture
def thirtytwo(cli, here, monkeypatch) -> Callable:
    """The command line in the folder ``here``; what a user's file registers is forgotten when the command ends."""

    def run(*words, cwd=here):
        with monkeypatch.context() as patch, ExitStack() as registries:
            patch.chdir(cwd)
            for registry in REGISTRIES:
                registries.enter_context(registry.temporary())
            return cli(*words)

    return run


def test_the_pages_commands_do_what_it_says(thirtytwo, here):
    commands = next(text for language, text in BLOCKS if not language)
    train, listing, model, show = (line.replace("'", "").split()[1:] for line in commands.strip().splitlines())
    model[1] = "tiny(width=8)"
    done = thirtytwo(*train, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["scores"]["test"]["accuracy"]["value"] > 0.9
    assert "The tiny network on the even digits" in thirtytwo(*listing).out
    assert "total" in thirtytwo(*model).out
    assert thirtytwo(*show).code == 0 and (here / "data.png").is_file()


def test_a_run_says_which_file_it_needs_and_never_runs_it_by_itself(thirtytwo, here):
    words = ("train", "even-tiny", "epochs=1", "--import", "mine.py", "--json")
    run = json.loads(thirtytwo(*words).out)["run"]
    done = thirtytwo("test", run)
    assert done.code == 2 and "mine.py: pass it again" in done.err
    assert thirtytwo("test", run, "--import", "mine.py").code == 0


def test_arguments_of_ones_own_are_checked(thirtytwo, here):
    done = thirtytwo("train", "even-tiny", "model=tiny(width=0)", "--import", "mine.py")
    assert done.code == 2 and "tiny(width=0): argument 'width'" in done.err
    done = thirtytwo("train", "even-tiny", "augment=fad", "--import", "mine.py")
    assert done.code == 2 and "did you mean 'fade'?" in done.err


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


def test_a_tracker_hears_each_evaluation(thirtytwo, tmp_path):
    (tmp_path / "curve.py").write_text(example("curve.py"))
    words = command("thirtytwo train digits-cnn epochs=3 --track")
    done = thirtytwo(*words, "model=cnn2(width=4)", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    run = Run.open(tmp_path / json.loads(done.out)["run"])
    with (tmp_path / "digits.csv").open() as file:
        rows = list(csv.reader(file))
    told = [(int(step), float(loss), float(accuracy)) for step, loss, accuracy in rows[1:]]
    assert told == [(each["step"], each["val_loss"], each["val_accuracy"]) for each in run.metrics()] and len(told) == 3


def test_a_tracker_that_fails_does_not_end_the_training(thirtytwo, tmp_path, caplog):
    (tmp_path / "curve.py").write_text(example("curve.py").replace("self.rows.append", "self.nothing.append"))
    words = command("thirtytwo train digits-cnn epochs=3 --track")
    done = thirtytwo(*words, "model=cnn2(width=4)", "--json", cwd=tmp_path)
    assert done.code == 0 and json.loads(done.out)["status"]["state"] == "finished"
    assert caplog.text.count("Curve failed (AttributeError") == 1, caplog.text


def test_a_metric_of_ones_own_is_scored_stored_and_compared_by(thirtytwo, here):
    commands = next(text for language, text in BLOCKS if not language and "brier.py" in text)
    first, second, compare = (line.split()[1:] for line in commands.strip().splitlines())
    runs = [json.loads(thirtytwo(*words, "--json").out) for words in (first, second)]
    expected = [run["scores"]["val"]["brier"] for run in runs]
    assert all(0 < each["low"] < each["value"] < each["high"] < 2 for each in expected)
    compared = json.loads(thirtytwo(*compare, "--json").out)
    assert [group["mean"]["value"] for group in compared["groups"]] == pytest.approx([e["value"] for e in expected])
    assert compared["groups"][1]["difference"]["test"] == "paired t over images"
    table = thirtytwo(*compare).out
    assert "val Brier score" in table and "in its own unit" in table
    page = (here / runs[0]["run"] / "report.html").read_text(encoding="utf-8")
    assert "Brier score" in page and f"{expected[0]['value']:.4f}" in page


def test_a_statistic_of_ones_own_is_in_a_studys_report(thirtytwo, here):
    (here / "s.toml").write_text(
        'base = "digits-cnn"\nseeds = [0, 1]\n[set]\nepochs = 1\n[arms.a]\n[arms.b]\nlr = 0.05\n'
    )
    assert thirtytwo("study", "s.toml", "--quiet").code == 0
    command = next(text for language, text in BLOCKS if not language and "class_gap.py" in text)
    words = command.replace("studies/digits", "studies/s").split()[1:]
    found = json.loads(thirtytwo(*words, "--json").out)["statistics"]
    for arm in ("a", "b"):
        assert list(found[arm]) == ["ensemble", "agreement", "class_gap"]
        assert 0 < found[arm]["class_gap"]["value"] <= 1 and found[arm]["class_gap"]["n"] == 2
    assert "Best class minus worst class" in (here / "studies" / "s" / "report.html").read_text(encoding="utf-8")


def test_a_model_may_say_more_than_its_layers(thirtytwo, here):
    for file, model in (("my_model.py", "mlp(width=64)"), ("my_network.py", "halves")):
        done = thirtytwo("train", "digits-cnn", f"model={model}", "epochs=4", "--import", file, "--json")
        assert done.code == 0, done.err
    folder = here / json.loads(done.out)["run"]
    card = json.loads((folder / "model.json").read_bytes())
    assert card["mean"] == card["std"] == [0.5] and card["model"] == "halves"


def test_a_format_of_ones_own_goes_out_and_comes_in(thirtytwo, here, trained):
    commands = next(text for language, text in BLOCKS if not language and "npz.py" in text)
    export, back, train = (shlex.split(line)[1:] for line in commands.strip().splitlines())
    export[1] = str(trained)
    done = thirtytwo(*export)
    assert done.code == 0 and "the same logits" in done.out, done.err
    with np.load(here / "digits.npz") as arrays:
        assert sum(arrays[name].size for name in arrays.files) == 14_698
    again = json.loads(thirtytwo(*back, "--json").out)["run"]
    assert json.loads((here / again / "model.json").read_bytes()) == json.loads((trained / "model.json").read_bytes())

    np.savez(here / "squeezenet.npz", **{name: each.numpy() for name, each in squeezenet1_1().state_dict().items()})
    words = ["data.limit=24", "epochs=1", "train.freeze=all-but-head", "--no-test", "--json"]
    begun = thirtytwo(*train, *words)
    assert begun.code == 0, begun.err
    folder = here / json.loads(begun.out)["run"]
    for name in ("model.json", "model.safetensors"):
        (folder / name).unlink()
    status = json.loads((folder / "status.json").read_bytes())
    (folder / "status.json").write_text(json.dumps({**status, "state": "interrupted", "step": 0}))
    done = thirtytwo("train", "--resume", folder)
    assert done.code == 2 and "npz.py: pass it again" in done.err, done.err


def test_a_format_that_is_not_there_or_gives_back_less_is_refused(thirtytwo, here, trained):
    done = thirtytwo("export", trained, "--format", "npy", "--import", "npz.py")
    assert done.code == 2 and "did you mean 'npz'?" in done.err
    done = thirtytwo("export", trained, "net.npy", "--import", "npz.py")
    assert done.code == 2 and "use the suffix .npz, .pth or .safetensors" in done.err
    lossy = (here / "npz.py").read_text().replace("tensor.numpy()", "tensor.half().numpy()")
    (here / "lossy.py").write_text(lossy)
    done = thirtytwo("export", trained, "net.npz", "--import", "lossy.py")
    assert done.code == 2 and "differ from those written" in done.err
    assert not (here / "net.npz").exists()
    (here / "net.npz").write_bytes(b"PK\x03\x04 but no archive")
    done = thirtytwo("import", "net.npz", "digits-cnn", "--import", "npz.py")
    assert done.code == 2 and "net.npz: damaged, or not a .npz file" in done.err
    assert done.err.count("\n") == 1


def test_an_explanation_of_ones_own_is_drawn(thirtytwo, here, trained):
    number = json.loads((trained / "split.json").read_text())["ids"]["val"][0]
    commands = next(text for language, text in BLOCKS if not language and "--how" in text)
    for line in commands.strip().splitlines():
        _, verb, _, _, *rest = line.replace("'", "").split()
        done = thirtytwo(verb, trained, f"val:{number}", *rest, "--out", here / "seen", "--json")
        assert done.code == 0, done.err
        names = {Path(path).name for path in json.loads(done.out)["figures"]}
        assert names == {"predictions.png", f"val-{number}-occlusion.png"}
        assert {path.name for path in (here / "seen").iterdir()} == names


def test_an_explanation_of_ones_own_shows_what_it_says_and_its_arguments_are_checked(here, trained):
    """Covering all of a picture costs each pixel the same: what the network says of a grey picture instead."""
    code = f"""
import occlusion, pytest, torch, thirtytwo
run = thirtytwo.open_run({str(trained)!r}, device="cpu")
seen = run.explain(how="occlusion(patch=8)")
image = torch.from_numpy(seen.images[0])[None] / 255
label = run.classes.index(seen.said[0][0][0])
said = run.model(torch.cat([image, image.mean().expand_as(image)])).softmax(1)[:, label]
torch.testing.assert_close(seen.explanations[0].falls, (said[0] - said[1]).expand(8, 8))
assert set(seen.figures) == {{"predictions", f"{{seen.names[0]}}-occlusion"}}
assert seen._repr_html_().count("base64") == 2
for how, message in (
    ("occlusio", "unknown explanation 'occlusio': did you mean 'occlusion'?"),
    ("occlusion(patch=0)", "occlusion(patch=0): argument 'patch'"),
    ("occlusion(size=2)", "explanation 'occlusion' has no argument 'size'"),
    ("occlusion(patch=9)", "larger than the picture of 8 x 8 pixels"),
):
    with pytest.raises(thirtytwo.UserError) as error:
        run.explain(how=how)
    assert message in str(error.value), error.value
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _broken(here: Path, name: str, old: str, new: str) -> str:
    """A file of the page with a mistake in it."""
    text = (here / name).read_text()
    assert old in text
    (here / "broken.py").write_text(text.replace(old, new, 1))
    return "broken.py"


def test_a_metric_that_fails_is_left_out_and_nothing_is_lost(thirtytwo, here, caplog):
    file = _broken(here, "brier.py", "return ((", "return 1 / 0 + ((")
    done = thirtytwo("train", "digits-cnn", "epochs=1", "model=cnn2(width=2)", "--import", file, "--json")
    assert done.code == 0, done.err
    scores = json.loads(done.out)["scores"]["test"]
    assert "accuracy" in scores and "brier" not in scores
    assert caplog.text.count("metric 'brier' failed, and is left out (") == 1 and "broken.py, line " in caplog.text


@pytest.mark.parametrize(
    ("file", "old", "new", "verb", "said"),
    [
        ("brier.py", 'better = "lower"', 'better = "loewr"', "report", "better='loewr': give 'higher' or 'lower'"),
        ("brier.py", '@metrics.register_as("brier")', "@metrics.register_as", "report", "needs the metric's name"),
        ("brier.py", ".sum(axis=1)", "[:, :2]", "compare", "of_images gave an array (144, 2)"),
        ("brier.py", ".sum(axis=1)", ".sum(axis=1)[:3]", "compare", "not one number for each of 144 images"),
        ("brier.py", "return ((", "return 1 / 0 + ((", "compare", "broken.py, line "),
        ("occlusion.py", "return Occlusion(falls / times)", "return None", "explain", "gave NoneType, not an Explan"),
        ("occlusion.py", "Drawing(figure, f", "(figure, f", "explain", "its figure 'occlusion' is not a Drawing"),
        ("occlusion.py", "falls, times =", "falls, times = 1 / 0,", "explain", "broken.py, line "),
        ("npz.py", 'suffixes = (".npz",)', 'suffixes = (".pth",)', "export", "already: choose another"),
        ("npz.py", 'suffixes = (".npz",)', 'suffixes = "npz"', "export", "give a tuple such as ('.npz',)"),
        ("npz.py", "return buffer.getvalue()", "return 'text'", "export", "pack gave str, not bytes"),
        ("npz.py", "with np.load(", "1 / 0\n        with np.load(", "export", "cannot read back what it wrote"),
    ],
)
def test_a_mistake_in_ones_own_file_is_one_line(thirtytwo, here, trained, file, old, new, verb, said):
    name = _broken(here, file, old, new)
    words = {
        "report": ("report", trained),
        "compare": ("compare", trained, "vs", trained, "--score", "brier"),
        "explain": ("explain", trained, "--how", "occlusion", "--out", here / "seen"),
        "export": ("export", trained, here / "broken.npz"),
    }[verb]
    done = thirtytwo(*words, "--import", name)
    assert done.code == 2 and said in done.err, done.err
    assert done.err.count("\n") == 1 and not (here / "broken.npz").exists()


def test_a_statistic_that_is_none_is_one_line(thirtytwo, here):
    name = _broken(here, "class_gap.py", "return mean_over_seeds(", "return 0.5 or mean_over_seeds(")
    before = Path(__file__).parent / "before" / "closed"
    shutil.copytree(before, here / "closed", dirs_exist_ok=True)
    done = thirtytwo("study", "report", "closed", "--import", name)
    assert done.code == 2 and "statistic 'class_gap': gave float, not an Estimate or None" in done.err


def test_no_file_runs_because_a_studys_folder_names_it(thirtytwo, here):
    """It may have come from elsewhere: what runs is what is named with --import."""
    shutil.copytree(Path(__file__).parent / "before" / "open", here / "elsewhere")
    (here / "evil.py").write_text("open('ran', 'w').close()\n")
    state = json.loads((here / "elsewhere" / "study.json").read_text())
    (here / "elsewhere" / "study.json").write_text(json.dumps({**state, "imports": [str(here / "evil.py")]}))
    done = thirtytwo("study", "run", "elsewhere", "--jobs", 1, "--quiet")
    assert done.code == 2 and f"--import {here / 'evil.py'}: pass it again" in done.err, done.err
    assert not (here / "ran").exists()
    done = thirtytwo("study", "run", "elsewhere", "--jobs", 1, "--quiet", "--import", "evil.py")
    assert done.code == 0 and (here / "ran").exists(), done.err
