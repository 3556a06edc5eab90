"""The components of docs/extending.md, added in one file of the user's own."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

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
