"""Pictures on all cores: threads and processes give the same, and end as they should."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

from thirtytwo import cores
from thirtytwo.data import parallel, reading
from thirtytwo.data.picture import BadPicture
from thirtytwo.errors import UserError

ON_LINUX = pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes by Linux's /proc")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,797 digits in ten class folders, a photograph, and three files that cannot be read."""
    root = tmp_path_factory.mktemp("data") / "digits"
    found = load_digits()
    for i, (image, label) in enumerate(zip(found.images, found.target, strict=True)):
        (root / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray((image / 16 * 255).astype(np.uint8)).save(root / str(label) / f"{i:04}.png")
    Image.fromarray(load_sample_image("china.jpg")).save(root / "0" / "photo.jpg")
    for name in ("1/empty.png", "2/text.png", "9/cut.png"):
        whole = (root / "0" / "0000.png").read_bytes()
        (root / name).write_bytes({"1/empty.png": b"", "2/text.png": b"hello"}.get(name, whole[:60]))
    return root


def sources(root: Path) -> list[reading.Source]:
    return [(str(path.relative_to(root)), str(path)) for path in sorted(root.rglob("*.*"))]


def in_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "LONG", 0.0)
    monkeypatch.setattr(cores, "available", lambda: 2)


def test_processes_give_what_threads_give_in_the_same_order(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    todo = sources(digits)
    decode = partial(reading.pixels, size=(8, 8), channels=1, fit="pad")
    in_threads = list(parallel.each(decode, iter(todo), len(todo)))
    in_processes(monkeypatch)
    assert len(in_threads) == len(todo)
    broken = 0
    for (name, file), one, other in zip(todo, in_threads, parallel.each(decode, iter(todo), len(todo)), strict=True):
        if isinstance(one, BadPicture):
            broken += 1
            assert isinstance(other, BadPicture) and str(other) == str(one) and other.name == name
            assert other.reason == one.reason
        else:
            assert isinstance(other, np.ndarray) and np.array_equal(one, other)
            assert np.array_equal(one, reading.pixels((name, file), (8, 8), 1, "pad"))
    assert broken == 3


def pid(source: reading.Source) -> int:
    return os.getpid()


def end(source: reading.Source, unless: int) -> None:
    if os.getpid() != unless:
        os.kill(os.getpid(), signal.SIGKILL)


def fail(source: reading.Source) -> None:
    if source[0].endswith("photo.jpg"):
        raise KeyError(source[0])


def test_much_work_is_done_by_other_processes_and_little_by_this_one(
    digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    todo = sources(digits)
    assert set(parallel.each(pid, todo, len(todo))) == {os.getpid()}
    in_processes(monkeypatch)
    assert len(set(parallel.each(pid, todo, len(todo))) - {os.getpid()}) >= 1


def test_an_error_of_the_function_is_raised_and_work_can_go_on(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    todo = sources(digits)
    in_processes(monkeypatch)
    monkeypatch.setattr(parallel, "BLOCK", 16)  # so that the photograph is not in the block that threads take
    with pytest.raises(KeyError, match="photo"):
        list(parallel.each(fail, todo, len(todo)))
    assert len(list(parallel.each(reading.header, todo, len(todo)))) == len(todo)


@ON_LINUX
def test_a_killed_process_is_one_line_and_work_can_go_on(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    todo = sources(digits)
    in_processes(monkeypatch)
    with pytest.raises(UserError, match="a process that decodes pictures was killed"):
        list(parallel.each(partial(end, unless=os.getpid()), todo, len(todo)))
    assert len(list(parallel.each(reading.header, todo, len(todo)))) == len(todo)


DAEMON = """
import multiprocessing, os, sys
from thirtytwo.data import parallel, reading
parallel.LONG, parallel.BLOCK = 0.0, 16
def work(file):
    todo = [("one", file)] * 100
    assert len(list(parallel.each(reading.header, todo, len(todo)))) == 100
if __name__ == "__main__":
    for daemon in (True, False):
        child = multiprocessing.get_context(sys.argv[2]).Process(target=work, args=(sys.argv[1],), daemon=daemon)
        child.start()
        child.join(60)
        print(child.exitcode)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_in_a_process_that_may_have_none_threads_do_it(digits: Path, tmp_path: Path, method: str) -> None:
    (tmp_path / "script.py").write_text(DAEMON)
    command = [sys.executable, str(tmp_path / "script.py"), str(digits / "0" / "0000.png"), method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.stdout.split(), done.stderr) == (["0", "0"], "")


SCRIPT = """
import sys
from thirtytwo.data import parallel
parallel.LONG = 0.0
print("begun")
import thirtytwo
print(len(thirtytwo.load(sys.argv[1], bad_images="skip").train))
print("torch" in sys.modules)
"""


def test_a_script_without_a_guard_runs_once(digits: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(digits)]
    environment = {**os.environ, "THIRTYTWO_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["begun", "1798", "True"], "")


SLOW = """
import os, sys, time
from thirtytwo.data import parallel, reading
parallel.LONG, parallel.BLOCK = 0.0, 16
def slow(source):
    time.sleep(0.1)
    return reading.header(source)
todo = [("one", sys.argv[1])] * 5000
for i, each in enumerate(parallel.each(slow, todo, len(todo))):
    if i == 50:
        print("running", flush=True)
"""


@ON_LINUX
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_program_leaves_no_process(digits: Path, tmp_path: Path, kind: int) -> None:
    command = [sys.executable, "-c", SLOW, str(digits / "0" / "0000.png")]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert running.stdout is not None and running.stdout.readline() == "running\n"
    assert len(group(running.pid)) >= 2
    if kind == signal.SIGINT:
        os.killpg(running.pid, kind)  # as a terminal does
    else:
        running.kill()
    _, said = running.communicate(timeout=30)
    if kind == signal.SIGINT:
        assert said.count("Traceback") == 1  # the program's own; its processes say nothing
    deadline = time.monotonic() + 30
    while group(running.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not group(running.pid)


def group(leader: int) -> list[int]:
    """The processes of a process group that are alive."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = status.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(pgrp) == leader and state != "Z":
            found.append(int(status.parent.name))
    return found
