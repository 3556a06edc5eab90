"""The study folder: the only reader and writer of its files; it also knows the state of each of its runs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from thirtytwo import recipes, records
from thirtytwo.errors import UserError
from thirtytwo.evaluation.compare import Compared, Group, Scored, compare, groups_of
from thirtytwo.files import sha256, write_atomic, write_csv
from thirtytwo.paths import as_path
from thirtytwo.recipe import Recipe
from thirtytwo.recipe import from_toml as read_recipe
from thirtytwo.records import StudyState
from thirtytwo.runs.run import Run
from thirtytwo.study.definition import Study, from_toml

FORMAT = 1
BASE = "base.toml"
"""The recipe that a study is based on, beside its definition."""


@dataclass(frozen=True)
class Trial:
    """One run of a study: which it is, where it is, and whether it is done.

    Attributes:
        state: "waiting", "finished", or what the run's status says (created, running, interrupted, failed, trained).
        run: None while its folder has not been made.
    """

    arm: str
    seed: int
    path: Path
    state: str
    run: Run | None

    @property
    def name(self) -> str:
        """``flip, seed 2``."""
        return f"{self.arm}, seed {self.seed}"

    @property
    def standing(self) -> str:
        """``state``, or "stopped" where it says "running" and no process is at work."""
        return self.run.standing if self.run else self.state


class StudyFolder:
    """One study: a folder. Make one with `create`, open one with `open`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path / ".lock", timeout=0)
        self._study: Study | None = None

    @classmethod
    def create(
        cls, root: Path, study: Study, *, threads: int, device: str = "auto", imports: Sequence[Path] = ()
    ) -> "StudyFolder":
        """The folder ``root/<study's name>``: a new one, or that of the same study, which continues and may grow.

        The recipe that the study is based on is kept in the folder: a later version of it does not replace it. Seeds
        and arms may be added, which is recorded, and those without a run may be left out again.

        Args:
            root: where the folder is made.
            study: its definition.
            threads: processor threads per run. They decide the order of sums, and so the bits: a study keeps them.
            device: where the runs are trained, as `Device.choose` takes it.
            imports: the user's files that registered components.

        Raises UserError when the folder holds another study, another definition or another recipe of this one, and when
        a closed one would have to change.
        """
        folder = cls(root / study.name)
        files = [str(file.resolve()) for file in imports]
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder.path}: cannot be made ({error.strerror}): choose another --out") from None
        if (folder.path / "study.json").is_file():
            if device not in ("auto", folder.device):
                raise UserError(f"{folder.path}: was begun with --device {folder.device}: continue with that")
            folder._go_on_as(study, files)
            return folder
        base = recipes.find(study.base).to_toml()
        text = study.model_copy(update={"base": BASE}).to_toml()
        folder._write(BASE, base)
        folder._write("study.toml", text)
        hashes = {"sha256": sha256(text.encode()), "base_sha256": sha256(base.encode())}
        folder._write_state({**hashes, "threads": threads, "device": device, "imports": files, "closed": None})
        return folder

    @classmethod
    def open(cls, path: Path | str) -> "StudyFolder":
        """Open an existing study. Raises UserError when it is not a study, is damaged, or is of a later version."""
        folder = cls(as_path(path))
        if not (folder.path / "study.json").is_file():
            raise UserError(f"{path}: not a study's folder, it holds no study.json (`thirtytwo study NAME` makes one)")
        _ = folder.study
        return folder

    @classmethod
    def withholding(cls, run: Path) -> "StudyFolder | None":
        """The open study that a run belongs to, and whose closing will score test; None without one, or once closed."""
        path = run.resolve().parent.parent
        if run.resolve().parent.name != "runs" or not (path / "study.json").is_file():
            return None
        study = cls.open(path)
        return None if study.closed else study

    @property
    def study(self) -> Study:
        """The definition. Raises UserError when its file was changed after the study began."""
        if self._study is None:
            path = self.path / "study.toml"
            study = from_toml(path)
            if sha256(path.read_bytes()) not in (self._state["sha256"], self._state.get("next")):
                raise UserError(f"{path}: not the definition that this study was begun with: restore it")
            if sha256(Path(study.base).read_bytes()) != self._state["base_sha256"]:
                raise UserError(f"{study.base}: not the recipe that this study was begun with: restore it")
            self._study = study
        return self._study

    def recipe(self, arm: str, seed: int) -> Recipe:
        """The recipe of one run; its images are cut as those of the runs that there are."""
        recipe = self.study.recipe(arm, seed)
        version = read_recipe(self.path / BASE, stored=True).data.split_version
        return recipe.override({"data.split_version": version})

    @property
    def definition(self) -> str:
        """The study as TOML, as it is in the folder."""
        return (self.path / "study.toml").read_text(encoding="utf-8")

    @property
    def grown(self) -> int:
        """How often seeds or arms were added after the study had begun."""
        return self._state.get("grown", 0)

    @property
    def threads(self) -> int:
        """Processor threads per run."""
        return self._state["threads"]

    @property
    def device(self) -> str:
        """Where runs are trained, as `Device.choose` takes it."""
        return self._state.get("device", "auto")

    @property
    def imports(self) -> list[str]:
        """The user's files that registered components."""
        return self._state["imports"]

    def require_imports(self, given: Sequence[Path]) -> None:
        """Raises UserError unless all files that the study names are ``given``: none runs because a folder names it."""
        missing = [file for file in self.imports if file not in {str(each.resolve()) for each in given}]
        if missing:
            words = " ".join(f"--import {file}" for file in missing)
            raise UserError(f"{self.path}: its runs are trained with {words}: pass it again")

    @property
    def closed(self) -> str | None:
        """When test was scored, after which nothing is trained; None while the study is open."""
        return self._state["closed"]

    def close(self, arms: Sequence[str]) -> None:
        """Record that test has been scored for the runs of these arms."""
        closed = datetime.now(UTC).isoformat(timespec="seconds")
        self._write_state({**self._state, "closed": closed, "closed_arms": list(arms)})

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Own the study within this context. UserError when another process is working on it, or when it is closed."""
        try:
            self._lock.acquire()
        except Timeout:
            raise UserError(f"{self.path}: another process is working on this study: wait for it, or stop it") from None
        try:
            if self.closed:
                raise UserError(
                    f"{self.path}: was closed on {self.closed}: test was scored then, and nothing is trained after that"
                )
            yield
        finally:
            self._lock.release(force=True)

    def run_path(self, arm: str, seed: int) -> Path:
        """The folder of one run."""
        return self.path / "runs" / f"{arm}-seed{seed}"

    def trials(self) -> list[Trial]:
        """Every run, in the order in which they are trained."""
        return [self.trial(arm, seed) for arm, seed in self.study.runs()]

    def trial(self, arm: str, seed: int) -> Trial:
        """One run and its state. A folder without env.json, left by a kill before training began, is "waiting"."""
        path = self.run_path(arm, seed)
        if not (path / "env.json").is_file():
            return Trial(arm, seed, path, "waiting", None)
        run = Run.open(path)
        return Trial(arm, seed, path, run.status["state"], run)

    def split(self) -> str:
        """The split that is compared: "test" once it was scored, "val" before."""
        return "test" if self.closed else "val"

    def groups(self, split: str, score: str = "accuracy") -> list[Group]:
        """The arms with the predictions of their finished runs on ``split``, in order; arms without any are left out.

        ``score`` is what they are compared by, a registered metric. Raises UserError for a metric that is not a mean
        over images.
        """
        found: dict[str, dict[int, Scored]] = {}
        for trial, run in self.shown(split):
            if scored := run.predictions(split):
                found.setdefault(trial.arm, {})[trial.seed] = scored[0]
        return groups_of({arm: found[arm] for arm in self.study.arms if arm in found}, score)

    def shown(self, split: str) -> list[tuple[Trial, Run]]:
        """The finished runs in the table on ``split``; on test, those of the arms that the study was closed with."""
        return [(trial, trial.run) for trial in self.trials() if trial.run and self.shows(trial, split)]

    def shows(self, trial: Trial, split: str) -> bool:
        """Whether a run is in the table on ``split``."""
        arms = [*self.study.arms] if split == "val" else self._state.get("closed_arms", [*self.study.arms])
        return trial.state == "finished" and trial.arm in arms

    def compared(self, split: str, score: str = "accuracy") -> list[Compared]:
        """The study's table on ``split``: every arm that has runs, with its difference."""
        return self.table(self.groups(split, score))

    def table(self, groups: Sequence[Group]) -> list[Compared]:
        """The study's table for some arms: an arm still in training is compared over the seeds that both have."""
        there, arms = {group.name: group for group in groups}, [*self.study.arms]

        def base(group: Group) -> Group | None:
            before = arms.index(group.name) - 1
            found = there.get(arms[0 if self.study.against == "first" else before]) if before >= 0 else None
            return found if found and {*group.runs} & {*found.runs} else None

        return compare(groups, [base(group) for group in groups]) if groups else []

    def write_results(self) -> Path:
        """Write ``results.csv``, one row per run and scoring; returns its path."""
        rows = [
            {"arm": trial.arm, "seed": trial.seed, **row}
            for trial in self.trials()
            if trial.run and trial.state == "finished"
            for row in trial.run.results()
        ]
        path = self.path / "results.csv"
        write_csv(path, rows)
        return path

    def _go_on_as(self, study: Study, files: list[str]) -> None:
        """Add the seeds and arms that ``study`` has beyond the present ones, and the imported files."""
        there = self.study
        if recipes.find(study.base) != recipes.find(there.base):
            raise UserError(
                f"{self.path}: was begun with another recipe than '{study.base}' is now: `thirtytwo study {self.path}` "
                "continues with the old one, or choose another --out"
            )
        wanted, imports = study.model_copy(update={"base": there.base}), list(dict.fromkeys([*self.imports, *files]))
        dropped = [trial.name for trial in self.trials() if (trial.arm, trial.seed) not in wanted.runs() and trial.run]
        if not (wanted.extends(there) or (there.extends(wanted) and not dropped)):
            raise UserError(
                f"{self.path}: holds this study with other settings: `thirtytwo study {self.path}` continues "
                "with them, or choose another --out"
            )
        if wanted == there and imports == self.imports:
            return
        with self.owned():
            text = wanted.model_copy(update={"base": BASE}).to_toml()
            more = len({*wanted.runs()} - {*there.runs()}) > 0
            now = sha256((self.path / "study.toml").read_bytes())
            state = {**self._state, "sha256": now, "imports": imports, "grown": self.grown + more}
            self._write_state({**state, "next": sha256(text.encode())})  # a kill before or after the next line is fine
            self._write("study.toml", text)
            self._write_state({**state, "sha256": sha256(text.encode())})
            self._study = None

    @property
    def _state(self) -> StudyState:
        path = self.path / "study.json"
        records.require_format(path, FORMAT)
        found = records.read(path, StudyState)
        assert found is not None, "the format was read from it"
        return found

    def _write_state(self, state: Mapping[str, Any]) -> None:
        self._write("study.json", json.dumps({"format": FORMAT, **state}, indent=1) + "\n")

    def _write(self, name: str, text: str) -> None:
        write_atomic(self.path / name, text.encode())
