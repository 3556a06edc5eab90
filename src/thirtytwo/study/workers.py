"""Train the runs of a study side by side, in processes of their own, which share nothing but files."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

from thirtytwo import cores
from thirtytwo.device import Device
from thirtytwo.runs.loading import check
from thirtytwo.study.definition import Study
from thirtytwo.study.folder import StudyFolder, Trial

POLL = 0.1
"""Seconds between two checks of the processes."""
PATIENCE = 60.0
"""Seconds that a process has to save when it is asked to stop."""


class Worker:
    """A process that trains one run after the other. ``trial`` is the current one, ``share`` how much of it is done."""

    def __init__(self, folder: StudyFolder, imports: Sequence[Path]) -> None:
        self.trial: Trial | None = None
        self.share = 0.0
        self._ended: str | None = None
        self._last = ""
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from thirtytwo.study.worker import main; main()",
                str(folder.path),
                *map(str, imports),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C reaches this process alone, which asks the others once
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def train(self, trial: Trial) -> None:
        """Begin a run, or continue it."""
        self.trial, self.share, self._ended = trial, 0.0, None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{trial.arm}\t{trial.seed}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has died: `result` says so

    def result(self) -> str | None:
        """What became of the current run: None while it is trained, "" when it is done, else what went wrong."""
        if self._ended is None and not self.alive:
            self._listener.join()
            return self._ended if self._ended is not None else self._last or "its process was killed"
        return self._ended

    @property
    def alive(self) -> bool:
        """Whether the process can take another run."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Ask it to save and to exit."""
        if self.alive:
            self._process.terminate()

    def wait(self) -> None:
        """Wait until it has exited; it is killed when that takes more than a minute."""
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word, _, message = line.strip().partition(" ")
            if word == "done":
                self._ended = ""
            elif word == "failed":
                self._ended = message
            elif word.replace(".", "", 1).isdigit():
                self.share = float(word)
            else:
                self._last = line.strip()  # a warning, or the end of a traceback


@dataclass(frozen=True)
class Standing:
    """How far a study is: the runs finished before and since it was started or continued, and those in training."""

    runs: int
    before: int
    done: list[Trial]
    working: list[Worker]
    seconds: float

    @property
    def share(self) -> float:
        """Share of all training that is done, in 0..1, with the same weight for every run."""
        return (self.before + len(self.done) + sum(each.share for each in self.working if each.trial)) / self.runs

    @property
    def remaining(self) -> float:
        """Expected seconds to the end, from the pace since the start; infinite until there is progress."""
        since = self.share - self.before / self.runs
        return self.seconds * (1 - self.share) / since if since > 0 else inf


def begin(
    study: Study, out: Path, *, jobs: int | None, device: str = "auto", imports: Sequence[Path] = ()
) -> StudyFolder:
    """The study's folder below ``out``, made or found again, once the recipe of every arm is known to be valid.

    ``jobs`` runs side by side divide the processor's cores: two trainings that both use all of them are not half as
    fast but twenty times slower, because their threads spin. Without ``jobs`` each run gets one core, or on a GPU all.
    Raises UserError for a device that is not available.
    """
    on_gpu = Device.choose(device).torch.type != "cpu"
    for arm in study.arms:
        check(study.recipe(arm, study.seeds[0]))
    own = cores.available()
    threads = own // (jobs or (1 if on_gpu else own))
    return StudyFolder.create(out, study, threads=max(1, threads), device=device, imports=imports)


def train_all(
    folder: StudyFolder, jobs: int | None, watch: Callable[[Standing], None], *, imports: Sequence[Path] = ()
) -> dict[str, str]:
    """Train every run of the study that is not finished, ``jobs`` at a time; ``watch`` is called ten times per second.

    Without ``jobs`` there are as many as the processor has cores for, given the threads that the study began with.
    A run that fails does not stop the others: the result says what went wrong, by run. However this function ends, no
    process is left: those at work are asked to save, and have a minute to do so.

    Raises UserError unless ``imports`` has every file that the study was begun with: its processes run these, and none
    because the folder names it.
    """
    folder.require_imports(imports)
    jobs = jobs or max(1, cores.available() // folder.threads)
    trials = folder.trials()
    waiting = [trial for trial in trials if trial.state != "finished"]
    before, began = len(trials) - len(waiting), time.monotonic()
    workers: list[Worker] = []
    done: list[Trial] = []
    failed: dict[str, str] = {}
    try:
        for _ in range(min(jobs, len(waiting))):
            workers.append(Worker(folder, imports))
            workers[-1].train(waiting.pop(0))
        while working := [each for each in workers if each.trial]:
            time.sleep(POLL)
            for i, worker in enumerate(workers):
                trial, result = worker.trial, worker.result()
                if trial is None or result is None:
                    continue
                if result:
                    failed[trial.name] = result
                else:
                    done.append(folder.trial(trial.arm, trial.seed))
                worker.trial = None
                if waiting:
                    workers[i] = worker if worker.alive else Worker(folder, imports)
                    workers[i].train(waiting.pop(0))
            watch(Standing(len(trials), before, done, working, time.monotonic() - began))
    finally:
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.wait()
    return failed
