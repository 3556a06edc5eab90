"""Fixtures shared by the suite."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import thirtytwo
from thirtytwo.cli import main


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images beside the checkout; tests that need it are skipped, loudly, where it is absent."""
    folder = Path(os.environ.get("THIRTYTWO_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs real images in {folder} (or THIRTYTWO_TEST_DATA)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The suite decodes and downloads into a folder of its own, never into the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THIRTYTWO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@dataclass(frozen=True)
class Done:
    """How a command ended: exit code, stdout and stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run ``thirtytwo`` with these arguments in this process, as its entry point does."""

    def run(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["thirtytwo", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        shown = capsys.readouterr()
        return Done(code if isinstance(code, int) else 0, shown.out, shown.err)

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short but complete run on the digits, for tests that only read it."""
    run = thirtytwo.train("digits-cnn", out=tmp_path_factory.mktemp("runs"), device="cpu", epochs=6)
    run.report()
    return run.path


@pytest.fixture
def run_copy(trained: Path, tmp_path: Path) -> Path:
    """A copy of `trained` for a test that changes it."""
    return Path(shutil.copytree(trained, tmp_path / "run"))
