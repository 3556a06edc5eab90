"""The run folder: the only reader and writer of its files.

Reading a run needs no torch until its weights are asked for, and no NumPy until its arrays are, so that a list of many
runs is quick; nothing in the folder can run code.
"""

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from thirtytwo import records
from thirtytwo.errors import UserError
from thirtytwo.evaluation.estimate import Estimate, wilson
from thirtytwo.files import sha256, write_atomic, write_csv
from thirtytwo.paths import as_path
from thirtytwo.recipe import Recipe, from_toml
from thirtytwo.recipes import run_name
from thirtytwo.records import Card, CardBody, Env, EvaluationRecord, Look, Scores, Scoring, SplitRecord, Status

if TYPE_CHECKING:
    import numpy as np

    from thirtytwo.evaluation.predictions import Predictions
    from thirtytwo.explain.explanation import LayerMaps

FORMAT = 1
SPLITS = ("val", "test")
"""What a run is scored on."""
RESULTS = {"run", "seed", "split", "views", "n", "accuracy"}
"""Columns that results.csv must have."""


class Run:
    """One training of one recipe: a folder. Make one with `create`, read one with `open`.

    >>> from thirtytwo import Run, train
    >>> Run.open(train(epochs=1, model="cnn2(width=2)", progress=False).path).status["state"]
    'finished'
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path / ".lock", timeout=0)

    @classmethod
    def create(cls, root: Path, recipe: Recipe, name: str | None = None) -> "Run":
        """Make a new folder ``root/<name>``, or one numbered after `recipes.run_name`; never one that exists."""
        called = run_name(recipe)
        try:
            root.mkdir(parents=True, exist_ok=True)
            numbered = re.compile(rf"{re.escape(called)}-(\d+)")
            taken = [int(match.group(1)) for path in root.iterdir() if (match := numbered.fullmatch(path.name))]
            number = max(taken, default=0) + 1
            while True:
                try:
                    path = root / (name or f"{called}-{number}")
                    path.mkdir()
                    break
                except FileExistsError:
                    if name:
                        raise
                    number += 1
        except OSError as error:
            raise UserError(f"{root}: cannot make a run folder here ({error.strerror}): choose another --out") from None
        run = cls(path)
        text = recipe.to_toml()
        run._write("recipe.toml", text)
        run.set_status("created", recipe_sha256=sha256(text.encode()))
        return run

    @classmethod
    def open(cls, path: Path | str) -> "Run":
        """Open an existing run. Raises UserError when it is not a run, or was written by a later version."""
        path = as_path(path)
        if path.is_file():
            raise UserError(f"{path}: a file, not a run folder: `thirtytwo import {path}` makes a run of weights")
        if not path.is_dir():
            raise UserError(f"{path}: no such run folder (`thirtytwo runs list` lists them)")
        if not (path / "recipe.toml").is_file() or not (path / "status.json").is_file():
            raise UserError(f"{path}: not a run folder, it holds no recipe.toml and status.json")
        run = cls(path)
        records.require_format(path / "status.json", FORMAT)
        _ = run.status  # raises when it is damaged
        return run

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    def lock(self) -> None:
        """Own the folder until `unlock` or the end of the process. Raises UserError when another process owns it."""
        try:
            self._lock.acquire()
        except Timeout:
            raise UserError(f"{self.path}: another process is working on this run: wait for it, or stop it") from None
        except OSError as error:
            raise UserError(f"{self.path}: cannot be locked ({error.strerror or error})") from None

    def unlock(self) -> None:
        """Release the folder."""
        self._lock.release(force=True)

    @property
    def busy(self) -> bool:
        """Whether another process is working on this run."""
        if self._lock.is_locked:
            return False
        try:
            self._lock.acquire()
        except (Timeout, OSError):
            return True
        self._lock.release()
        return False

    @property
    def standing(self) -> str:
        """The status's state, or "stopped" where it says "running" and no process is at work."""
        state = str(self.status["state"])
        return "stopped" if state == "running" and not self.busy else state

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Own the folder within this context."""
        self.lock()
        try:
            yield
        finally:
            self.unlock()

    # What was asked for, on which data and machine.

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe that the run trains. Raises UserError when the file was changed after the run began."""
        path = self.path / "recipe.toml"
        recipe = from_toml(path, stored=True)
        if sha256(path.read_bytes()) != self.status.get("recipe_sha256"):
            raise UserError(f"{path}: not the recipe that this run began with: restore it, or train a new run with it")
        return recipe

    @property
    def env(self) -> Env:
        """Versions, device, precision and threads; empty before training started."""
        return records.read(self.path / "env.json", Env) or {}

    @property
    def split(self) -> SplitRecord | None:
        """Name, classes, plan, sizes, class counts, hashes and ids of the splits; None before they were made."""
        return records.read(self.path / "split.json", SplitRecord)

    @property
    def card(self) -> Card | None:
        """How to use the weights: model, classes, size, preprocessing (model.json); None before the end of training."""
        return records.read(self.path / "model.json", Card)

    def write_env(self, env: Mapping[str, Any]) -> None:
        """Write env.json."""
        self._write_json("env.json", env)

    def write_split(self, record: Mapping[str, Any]) -> None:
        """Write split.json."""
        self._write_json("split.json", record)

    # Its progress.

    @property
    def status(self) -> Status:
        """``state`` (created, running, interrupted, failed, trained, finished), ``step``, ``steps``, ``seconds``, ...

        "trained" means that the weights are there, but not all of the scores.
        """
        found = records.read(self.path / "status.json", Status)
        if found is None:
            raise UserError(f"{self.path}: not a run folder, it holds no status.json")
        return found

    def set_status(self, state: str, **more: Any) -> None:
        """Write status.json: what was there, the new state, and ``more``."""
        kept = records.read(self.path / "status.json", Status)
        before = {key: value for key, value in (kept or {"started": _now()}).items() if key != "message"}
        self._write_json("status.json", {**before, "format": FORMAT, "state": state, "updated": _now(), **more})

    def metrics(self) -> list[EvaluationRecord]:
        """One record per evaluation, in order of steps."""
        return records.read_lines(self.path / "metrics.jsonl", EvaluationRecord)

    def log(self, *evaluations: Mapping[str, Any]) -> None:
        """Append records to metrics.jsonl."""
        self._append("metrics.jsonl", *evaluations)

    def forget_after(self, step: int) -> None:
        """Drop the metrics of steps after ``step``, which the resumed training will write again."""
        kept = [record for record in self.metrics() if record["step"] <= step]
        self._write("metrics.jsonl", "".join(json.dumps(record) + "\n" for record in kept))

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    # Its results.

    @property
    def weights(self) -> Path:
        """The trained weights (safetensors)."""
        return self.path / "model.safetensors"

    def write_model(self, weights: bytes, card: CardBody) -> None:
        """Write the weights and their card, which holds their sha256."""
        write_atomic(self.weights, weights)
        self._write_json("model.json", {"format": FORMAT, **card, "sha256": sha256(weights)})

    def require_trained(self) -> Card:
        """The card of the weights. Raises UserError when the run has no weights yet."""
        card = self.card
        if card is None or not self.weights.is_file():
            raise UserError(f"{self.path}: not trained to its end yet: run `thirtytwo train --resume {self.path}`")
        return card

    def read_weights(self) -> bytes:
        """The weights' bytes. Raises UserError when there are none, or a byte has changed."""
        card = self.require_trained()
        data = self.weights.read_bytes()
        if sha256(data) != card["sha256"]:
            raise UserError(
                f"{self.weights}: damaged, its sha256 differs from model.json's: restore it, or train again"
            )
        return data

    def predictions(self, split: str) -> "tuple[Predictions, Predictions | None] | None":
        """The stored predictions of a split, plain and with test-time augmentation; None where it was not scored."""
        path = self.path / "predictions" / f"{split}.npz"
        if not path.is_file():
            return None
        from thirtytwo.evaluation.predictions import load

        return load(path, self.split)

    def write_predictions(self, plain: "Predictions", tta: "Predictions | None") -> None:
        """Write ``predictions/<split>.npz``, and beside it a table of what the plain ones say of each image."""
        from thirtytwo.evaluation.predictions import pack

        self._write_arrays(plain.split, pack(plain, tta))
        write_csv(self.path / "predictions" / f"{plain.split}.csv", plain.table())

    def pictures(self, split: str) -> "tuple[np.ndarray, np.ndarray] | None":
        """Stored examples of a split: uint8 (M, C, H, W) and their ids (M,); None where there are none."""
        return self._read_pair(f"{split}-pictures", {"images": "uint8 M C H W", "ids": "int M"})

    def write_pictures(self, split: str, images: "np.ndarray", ids: "np.ndarray") -> None:
        """Write ``predictions/<split>-pictures.npz``."""
        from thirtytwo.arrays import pack_arrays

        self._write_arrays(f"{split}-pictures", pack_arrays({"images": images, "ids": ids}))

    def training_pictures(self) -> "tuple[np.ndarray, np.ndarray] | None":
        """Stored training images, as they are and as epochs show them, with labels, as `preview` makes them."""
        from thirtytwo.arrays import damaged

        found = self._read_pair("train-pictures", {"images": "uint8 E M C H W", "labels": "int M"})
        cut = self.split
        classes = len(cut["classes"]) if cut else 0
        if found and not (len(found[0]) and ((found[1] >= 0) & (found[1] < classes)).all()):
            raise damaged(self.path / "predictions" / "train-pictures.npz", f"labels must be 0 to {classes - 1}")
        return found

    def write_training_pictures(self, images: "np.ndarray", labels: "np.ndarray") -> None:
        """Write ``predictions/train-pictures.npz``."""
        from thirtytwo.arrays import pack_arrays

        self._write_arrays("train-pictures", pack_arrays({"images": images, "labels": labels}))

    def explanation(self) -> "tuple[LayerMaps, int] | None":
        """The network's maps for one picture of val, and the picture's id; None where they were not written."""
        path = self.path / "predictions" / "layers.npz"
        if not path.is_file():
            return None
        from thirtytwo.explain.explanation import load

        return load(path)

    def write_explanation(self, explanation: "LayerMaps", id_: int) -> None:
        """Write ``predictions/layers.npz``."""
        from thirtytwo.explain.explanation import pack

        self._write_arrays("layers", pack(explanation, id_))

    def looks(self) -> list[Look]:
        """Every scoring of a test split, oldest first."""
        return records.read_lines(self.path / "looks.jsonl", Look)

    def record_look(self, by: str, n: int, accuracies: Mapping[int, float]) -> None:
        """Record that the test split was scored, before anyone sees the score.

        Args:
            by: who asked for it, "train", "test", "study" or "import".
            n: images scored.
            accuracies: by number of views; 1 is the score without test-time augmentation.
        """
        card = self.card
        look = {"time": _now(), "split": "test", "by": by, "n": n, "weights_sha256": card["sha256"] if card else None}
        views = max(accuracies)
        look |= {"accuracy": accuracies[1], "views": views, "accuracy_tta": accuracies[views] if views > 1 else None}
        self._append("looks.jsonl", look)

    def scores(self) -> list[Scoring]:
        """The scorings of scores.json: one per split and number of views; empty where there is no such file."""
        found = records.read(self.path / "scores.json", Scores)
        return found["scorings"] if found else []

    def write_scores(self, scorings: Sequence[Scoring]) -> None:
        """Write scores.json."""
        self._write_json("scores.json", {"format": FORMAT, "scorings": scorings})

    def accuracies(self) -> dict[str, Estimate]:
        """Accuracy by split that was scored, from the smallest file that has it: for lists of many runs."""
        if stored := self.scores():
            return {each["split"]: wilson(each["right"], each["n"]) for each in stored if each["views"] == 1}
        rows = [row for row in self.results() if row["views"] == "1" and row["split"] in SPLITS]
        with suppress(ValueError):  # then the predictions have it
            if rows:
                counted = {row["split"]: (float(row["accuracy"]), int(row["n"])) for row in rows}
                return {split: wilson(round(share * n), n) for split, (share, n) in counted.items()}
        found = {split: both[0] for split in SPLITS if (both := self.predictions(split))}
        return {split: wilson(int(each.correct.sum()), len(each)) for split, each in found.items()}

    def results(self) -> list[dict[str, str]]:
        """The rows of results.csv, one per scoring."""
        path = self.path / "results.csv"
        if not path.exists():
            return []
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            if any(None in row or None in row.values() or not row.keys() >= RESULTS for row in rows):
                raise ValueError(
                    f"its rows lack one of the columns {', '.join(sorted(RESULTS))}, or do not match the header"
                )
            return rows
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(f"{path}: damaged, cannot be read as CSV ({error}): restore it, or delete it") from None

    def write_results(self, rows: list[dict[str, Any]]) -> None:
        """Replace the rows of results.csv for the splits that ``rows`` are about.

        Where an older row lacks a column, since the metric was added later, it stays empty.
        """
        splits = {row["split"] for row in rows}
        rows = [*(row for row in self.results() if row.get("split") not in splits), *rows]
        write_csv(self.path / "results.csv", rows)

    def _write(self, name: str, text: str) -> None:
        write_atomic(self.path / name, text.encode())

    def _read_pair(self, name: str, expected: Mapping[str, str]) -> "tuple[np.ndarray, np.ndarray] | None":
        """The images and the other array of ``predictions/<name>.npz``; None where there is no such file."""
        path = self.path / "predictions" / f"{name}.npz"
        if not path.is_file():
            return None
        from thirtytwo.arrays import damaged, read_arrays

        images, other = read_arrays(path, expected).values()
        if not images.size or images.shape[-3] not in (1, 3):
            raise damaged(path, f"images have shape {images.shape}")
        return images, other

    def _write_arrays(self, name: str, data: bytes) -> None:
        (self.path / "predictions").mkdir(exist_ok=True)
        write_atomic(self.path / "predictions" / f"{name}.npz", data)

    def _append(self, name: str, *lines: Mapping[str, Any]) -> None:
        """Append lines and sync them. An unfinished line that a kill left is removed first."""
        path = self.path / name
        try:
            whole = path.read_bytes() if path.is_file() else b""
            if not whole.endswith(b"\n") and whole:
                write_atomic(path, whole[: whole.rfind(b"\n") + 1])
            with path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(line, allow_nan=False) + "\n" for line in lines)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UserError(f"{self.path / name}: cannot be written ({error.strerror})") from None

    def _write_json(self, name: str, value: Mapping[str, Any]) -> None:
        self._write(name, json.dumps(value, indent=1) + "\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
