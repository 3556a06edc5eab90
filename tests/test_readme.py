"""Every command of the README, as a newcomer types it."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import thirtytwo

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for language, block in BLOCKS
    if not language
    for line in block.splitlines()
    if line.startswith("thirtytwo ")
]
NEEDS_A_DOWNLOAD = ("mnist-cnn", "finetune", "cifar10-fast", "runs/cifar10-fast-1")


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A newcomer's folder: a picture of a seven, and class folders."""
    folder = tmp_path_factory.mktemp("desk")
    digits = load_digits()
    for i, (image, label) in enumerate(zip(digits.images[:300], digits.target[:300], strict=True)):
        path = folder / "path" / "to" / "pictures" / ("even" if label % 2 == 0 else "odd") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15.9375).astype(np.uint8)).save(path)
    Image.fromarray((digits.images[7] * 15.9375).astype(np.uint8)).resize((64, 64)).save(folder / "seven.png")
    return folder


def test_every_command_of_the_readme_runs(cli, desk, monkeypatch):
    monkeypatch.chdir(desk)
    assert len(COMMANDS) > 15
    for words in COMMANDS:
        if any(name in words for name in NEEDS_A_DOWNLOAD) and words[0] == "train":
            continue
        if words == ["bench"]:
            for setting, value in {"SECONDS": 0.01, "REPEATS": 1, "BATCH": 32, "BATCHES": (32,)}.items():
                monkeypatch.setattr(f"thirtytwo.bench.{setting}", value)
        trains = words[0] == "train" or words == ["study", "digits"]
        done = cli(*words, *(["epochs=2"] if trains else []))
        assert done.code == 0, (words, done.err)
    assert (desk / "data.png").is_file() and (desk / "runs" / "digits-cnn-1" / "report.html").is_file()


def test_the_python_of_the_readme_runs(desk, monkeypatch):
    monkeypatch.chdir(desk)
    (code,) = (block for language, block in BLOCKS if language == "python")
    names: dict = {"thirtytwo": thirtytwo}
    exec(compile(code.replace("epochs=10", "epochs=30"), "README.md", "exec"), names)
    assert names["run"].predict("seven.png")[0].classes[0] == "7"
    assert names["again"].path == names["run"].path


def test_what_the_readme_links_to_exists():
    root = Path(__file__).parents[1]
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links and all((root / link).exists() for link in links)
