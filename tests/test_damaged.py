"""Files of runs and studies that were changed, with hashes made to fit: a reader says so in one line, or reads on."""

import copy
import io
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

import thirtytwo
from thirtytwo import UserError
from thirtytwo.files import sha256
from thirtytwo.report.html import write
from thirtytwo.report.study import view as view_study
from thirtytwo.report.study import write as write_study
from thirtytwo.report.view import view
from thirtytwo.runs.run import Run
from thirtytwo.study.folder import StudyFolder
from thirtytwo.training.session import Session

BEFORE = Path(__file__).parent / "before"
WRONG: tuple[Any, ...] = (None, "text", [], {}, -1, 1.5, 1e308, 10**30, True, [[]], ["text", 1], {"a": {"b": 1}})
"""What stands in the place of a value."""
FEW = 61
"""Of so many changes, one is tried in every suite; all of them are slow."""

Change = tuple[str, Callable[[Path], None]]
"""What is changed, and how in a copy of the folder."""


def json_changes(file: str) -> Iterator[Change]:
    """Every key gone, every value another; the whole file another value."""
    original = json.loads((BEFORE / file).read_bytes()) if not file.endswith("l") else None
    lines = [json.loads(line) for line in (BEFORE / file).read_text().splitlines()] if original is None else []

    def write(value: object) -> Callable[[Path], None]:
        text = json.dumps(value) if original is not None else "".join(json.dumps(each) + "\n" for each in [value])
        return lambda root: (root / file).write_text(text)

    value = original if original is not None else lines[-1]
    for place in _places(value):
        yield f"{file} without {place}", write(_changed(value, place, delete=True))
        for wrong in WRONG:
            yield f"{file} with {place}={wrong!r}", write(_changed(value, place, wrong))
    for whole in (*WRONG, *[[value]]):
        yield f"{file} is {str(whole)[:20]}", write(whole)
    for text in ("", "{", "\x00", "[" * 100_000, '{"a": ' * 2000, "1" * 5000, '{"step": NaN}'):
        yield f"{file} is text {text[:8]!r}", lambda root, text=text: (root / file).write_text(text)


def _places(value: object, prefix: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in nested values; of a list, its first element."""
    inside = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, each in inside:
        yield (*prefix, key)
        yield from _places(each, (*prefix, key))


def _changed(value: Any, place: tuple[Any, ...], new: object = None, *, delete: bool = False) -> object:
    changed = copy.deepcopy(value)
    *path, last = place
    inner = changed
    for key in path:
        inner = inner[key]
    if delete:
        del inner[last]
    else:
        inner[last] = new
    return changed


def npz_changes(file: str) -> Iterator[Change]:
    """Every array gone, of another type, rank or length, with other values; the file cut short."""
    with np.load(BEFORE / file) as archive:
        arrays = {name: archive[name] for name in archive.files}

    def write(changed: dict[str, np.ndarray]) -> Callable[[Path], None]:
        buffer = io.BytesIO()
        np.savez(buffer, **changed)
        return lambda root: (root / file).write_bytes(buffer.getvalue())

    for name, array in arrays.items():
        yield f"{file} without {name}", write({key: each for key, each in arrays.items() if key != name})
        others = {
            "text": array.astype(str), "complex": np.zeros(array.shape, complex), "deeper": array[None],
            "scalar": np.array(0), "empty": array[:0] if array.ndim else np.zeros(0),
            "bool": np.ones(array.shape, bool), "int": np.full(array.shape, -5),
            "shorter": array[:-1] if array.ndim else array, "large": np.full(array.shape, 2**40),
            "nan": np.full(array.shape, np.nan), "uint8": np.full(array.shape, 200, np.uint8),
            "narrow": array[..., :1] if array.ndim else array, "flat": array[..., :0] if array.ndim else array,
            "many": np.full(array.shape, 5000),
        }  # fmt: skip
        if array.dtype.kind in "fiu":
            others["swapped"] = array.astype(array.dtype.newbyteorder(">"))
        if array.dtype.kind == "f":
            others["long"] = array.astype(np.longdouble)
        for what, other in others.items():
            yield f"{file}: {name} {what}", write({**arrays, name: other})
    data = (BEFORE / file).read_bytes()
    for cut in (0, 1, 30, len(data) // 2, len(data) - 1):
        yield f"{file} cut at {cut}", lambda root, cut=cut: (root / file).write_bytes(data[:cut])
    for place in range(10, len(data), max(1, len(data) // 12)):
        flipped = data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
        yield f"{file} flipped at {place}", lambda root, flipped=flipped: (root / file).write_bytes(flipped)


def checkpoint_changes(step: str) -> Iterator[Change]:
    """Tensors gone, renamed, of another shape or type, and a state of other shapes; the manifest's hashes fit."""
    folder = f"interrupted/checkpoints/{step}"
    data, state = ((BEFORE / folder / name).read_bytes() for name in ("tensors.safetensors", "state.json"))
    tensors, header = load_tensors(data), json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])

    def write(changed: dict[str, torch.Tensor], said: bytes = state) -> Callable[[Path], None]:
        files = {"tensors.safetensors": save_tensors(changed, header.get("__metadata__")), "state.json": said}

        def apply(root: Path) -> None:
            for other in (root / "interrupted" / "checkpoints").glob("step-*"):
                if other.name != step:
                    shutil.rmtree(other)
            for name, content in files.items():
                (root / folder / name).write_bytes(content)
            manifest = {"step": 1, "sha256": {name: sha256(content) for name, content in files.items()}}
            (root / folder / "MANIFEST.json").write_text(json.dumps(manifest))

        return apply

    for name, tensor in tensors.items():
        rest = {key: each for key, each in tensors.items() if key != name}
        yield f"{name} gone", write(rest)
        yield f"{name} renamed", write({**rest, f"{name}x": tensor})
        yield f"{name} under another prefix", write({**rest, f"optimizer.9.9.{name}": tensor})
        yield f"{name} longer", write({**rest, name: torch.cat([tensor.flatten(), tensor.flatten()[:1]])})
        yield f"{name} of whole numbers", write({**rest, name: tensor.long()})
    for place in _places(json.loads(state)):
        for wrong in WRONG:
            changed = json.dumps(_changed(json.loads(state), place, wrong)).encode()
            yield f"state {place}={wrong!r}", write(tensors, changed)
        yield (
            f"state without {place}",
            write(tensors, json.dumps(_changed(json.loads(state), place, delete=True)).encode()),
        )
    for whole in (b"[]", b"null", b"{", b""):
        yield f"state is {whole!r}", write(tensors, whole)


def csv_changes(file: str) -> Iterator[Change]:
    text = (BEFORE / file).read_text()
    head, *rows = text.splitlines()
    others = [text.replace(a, b) for a, b in (("accuracy", "acc"), ("test", "tost"), ("0.", "x."), ("split", "splat"))]
    others += [
        "\n".join([head, rows[0] + ",9", *rows[1:]]),
        "\n".join([head, *(row.replace(",", ";") for row in rows)]),
    ]
    for what in ("", "\x00", "a\n1\n", "a,b\n1,2,3\n", head, f"{head}\n1\n", *others):
        yield f"{file} is {what[:12]!r}", lambda root, what=what: (root / file).write_text(what)


def changes() -> list[Change]:
    """All of them, in one order."""
    one = "closed/runs/mirror-seed1"
    found = [json_changes(f"finished/{name}") for name in
             ("status.json", "env.json", "model.json", "split.json", "metrics.jsonl", "looks.jsonl")]  # fmt: skip
    found += [npz_changes(f"finished/predictions/{name}.npz") for name in
              ("val", "test", "val-pictures", "test-pictures", "train-pictures", "layers")]  # fmt: skip
    found += [
        json_changes("closed/study.json"),
        json_changes(f"{one}/split.json"),
        npz_changes(f"{one}/predictions/test.npz"),
    ]
    found += [csv_changes("finished/results.csv"), csv_changes(f"{one}/results.csv")]
    newest = max(path.name for path in (BEFORE / "interrupted" / "checkpoints").glob("step-*"))
    return [*itertools.chain(*found), *checkpoint_changes(newest)]


def read_all(root: Path, changed: str, report: Callable[..., object], report_study: Callable[..., object]) -> list[str]:
    """Use everything that reads; the messages of what was refused. Any other exception is a failure."""
    said: list[str] = []

    def attempt(use: Callable[[], object]) -> None:
        try:
            use()
        except UserError as error:
            said.append(str(error))

    if "/" not in changed or changed.startswith("finished"):
        path = root / "finished"
        attempt(
            lambda: [getattr(Run.open(path), name) for name in ("recipe", "env", "split", "card", "status", "standing")]
        )
        attempt(lambda: [getattr(Run.open(path), name)() for name in ("metrics", "looks", "results", "scores")])
        attempt(lambda: thirtytwo.open_run(path, device="cpu").predict_proba(np.zeros((8, 8), np.uint8)))
        attempt(lambda: thirtytwo.open_run(path, device="cpu").scores("test"))
        attempt(lambda: thirtytwo.open_run(path, device="cpu")._repr_html_())
        attempt(lambda: thirtytwo.open_run(path, device="cpu").explain())
        attempt(lambda: report(Run.open(path)))
        attempt(lambda: thirtytwo.compare({"a": path, "b": root / "imported"}))
    elif changed.startswith("closed"):
        path = root / "closed"
        attempt(lambda: thirtytwo.open_study(path).table())
        attempt(lambda: report_study(StudyFolder.open(path)))
        attempt(lambda: [trial.standing for trial in StudyFolder.open(path).trials()])
    return said


CHANGES = changes()


def check(change: Change, tmp_path: Path, cli: Callable[..., Any], *, drawn: bool) -> None:
    """``drawn`` says whether what can still be read is drawn too, which takes a second."""
    what, apply = change
    apply(tmp_path)
    reports = (write, lambda folder: write_study(folder, view_study(folder))) if drawn else (view, view_study)
    said = read_all(tmp_path, what, *reports) if "/" in what else []
    if "/" not in what:
        try:
            Session.resume(tmp_path / "interrupted", device="cpu").run.unlock()
        except UserError as error:
            said.append(str(error))
        else:
            said += _resumed(tmp_path / "interrupted")
    for message in said:
        assert "\n" not in message and str(tmp_path) in message, f"{what}: {message}"
    listed = cli("runs", "list", tmp_path)
    assert listed.code == 0 and "imported" in listed.out, f"{what}: a list shows the other runs"


def _resumed(path: Path) -> list[str]:
    """What is said when the training goes on: for a step, which uses what the optimizer remembers."""
    from listening import interrupting
    from thirtytwo.interrupt import Interrupted

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("thirtytwo.training.loop.TICK", 0.0)
            first = itertools.count()
            Session.resume(path, device="cpu").complete(listeners=[interrupting(lambda progress: next(first) == 0)])
    except UserError as error:
        return [str(error)]
    except Interrupted:
        pass
    return []


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BEFORE, tmp_path, dirs_exist_ok=True))


def _restored(root: Path) -> None:
    for entry in root.iterdir():
        shutil.rmtree(entry)
    shutil.copytree(BEFORE, root, dirs_exist_ok=True)


def test_some_changed_files(root, cli):
    for change in CHANGES[::FEW]:
        check(change, root, cli, drawn=False)
        _restored(root)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_every_changed_file(root, cli):
    for change in CHANGES:
        check(change, root, cli, drawn=True)
        _restored(root)
