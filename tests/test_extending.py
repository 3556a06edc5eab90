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
    for name in ("mine.py", "occlusion.py"):
        code = next(text for language, text in BLOCKS if language == "python" and text.startswith(f"# {name}"))
        (folder / name).write_text(code)
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


def test_an_explanation_of_ones_own_is_drawn(here, trained):
    number = json.loads((trained / "split.json").read_text())["ids"]["val"][0]
    commands = next(text for language, text in BLOCKS if not language and "--how" in text)
    for line in commands.strip().splitlines():
        _, verb, _, _, *rest = line.replace("'", "").split()
        done = thirtytwo(verb, trained, f"val:{number}", *rest, "--out", here / "seen", "--json", cwd=here)
        assert done.returncode == 0, done.stderr
        names = {Path(path).name for path in json.loads(done.stdout)["figures"]}
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
