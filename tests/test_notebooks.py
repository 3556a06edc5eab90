"""The notebooks: each one runs to its end on small pictures, and is fit to be shared."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import nbformat
import numpy as np
import pytest
from sklearn.datasets import load_digits

FOLDER = Path(__file__).parents[1] / "notebooks"
ONE: dict[str, object] = {"DATA": "small.npz", "EPOCHS": 1, "LIMIT": 200}
SMALL: dict[str, dict[str, object]] = {
    "000-augmentation": ONE | {"ARMS": ["none", "flip"], "SEEDS": 2},
    "001-eight-convolutions": ONE,
    "002-tutorial": ONE | {"ARMS": ["tutorial", "batches"], "SEEDS": 2, "STUDY_EPOCHS": 1},
    "003-mnist-and-cifar": {
        "MNIST": "digits",
        "CIFAR": "small.npz",
        "MNIST_EPOCHS": 1,
        "CIFAR_EPOCHS": 1,
        "LIMIT": 200,
    },
    "004-nine-layers": ONE,
}
SHOW_PICTURES = re.compile(r"sample_grid|\.explain\(|(wrong|right|layers|predictions)\.png")


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    """notebooks/run.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("notebooks_run", FOLDER / "run.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``small.npz``: 400 digits as colour pictures of 32 x 32 pixels, with an official test split."""
    folder, digits = tmp_path_factory.mktemp("notebooks"), load_digits()
    images = np.kron(digits.images[:400], np.ones((4, 4)))[..., None].repeat(3, axis=3) * 15.9375
    x, y = images.astype(np.uint8), digits.target[:400]
    np.savez(folder / "small.npz", x_train=x[:300], y_train=y[:300], x_test=x[300:], y_test=y[300:])
    return folder


@pytest.mark.parametrize("name", SMALL)
def test_a_notebook_runs_to_its_end(name, runner, desk, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    path = FOLDER / f"{name}.ipynb"
    done = runner.execute(path, SMALL[name], desk)
    code = [cell for cell in done.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code if not cell.source.startswith("#"))
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]
    # Every cell that shows pictures shows them, and what may be kept names no place on this machine.
    assert all(cell.outputs for cell in code if "pictures" in runner.tags(cell))
    assert runner.absolute_paths(runner.without_pictures(done)) == []
    assert not [output for cell in code if "pictures" in runner.tags(cell) for output in cell.outputs]
    assert [cell.source for cell in done.cells] == [cell.source for cell in nbformat.read(path, as_version=4).cells]


def test_every_notebook_is_covered():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_a_notebook_is_fit_to_be_shared(name, runner):
    path = FOLDER / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    text = nbformat.writes(runner.without_images(notebook))
    assert len([cell for cell in notebook.cells if "parameters" in runner.tags(cell)]) == 1
    assert runner.absolute_paths(notebook) == []
    assert not re.search(r"/home/|/Users/|/tmp/|/work/|/root/|site-packages", text)
    assert not re.search(r"pypi|index-url|localhost|127\.0\.0\.1|proxy", text, re.IGNORECASE)
    for before, cell in zip([None, *notebook.cells], notebook.cells, strict=False):
        if cell.cell_type == "code":
            shows = bool(SHOW_PICTURES.search(cell.source))
            assert shows == ("pictures" in runner.tags(cell)), cell.source
            assert not shows or not cell.outputs, "a data set's pictures are not ours to publish"
        if before and "pictures" in runner.tags(before):
            assert "Run this cell to see" in cell.source


def test_an_absolute_path_is_told_from_what_looks_like_one(runner):
    def found(text: str) -> list[str]:
        output = nbformat.v4.new_output("display_data", data={"text/html": text})
        return runner.absolute_paths(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[output])]))

    assert found("written to /home/me/runs/a.png") == ["/home/me/runs/a.png"]
    assert found("PosixPath('/var/data/x')") == ["/var/data/x"]
    assert found(r"C:\Users\me")
    assert not found("<td>1/2</td></tr> runs/digits-1/report.html, https://example.org/a/b, 3 / 4, images/s")
    assert not found('<img src="data:image/png;base64,iVBO/abc/def/ghi=">')


def test_a_setting_that_a_notebook_does_not_have_is_refused(runner, tmp_path):
    with pytest.raises(SystemExit, match="no setting EPOCH: it has DATA"):
        runner.execute(FOLDER / "001-eight-convolutions.ipynb", {"EPOCH": 1}, tmp_path)
