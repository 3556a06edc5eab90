"""A process that trains runs of a study, one after the other, at the request of the process that started it.

It reads ``ARM<tab>SEED`` lines and answers with lines: the share of a run's time in 0..1 now and then, and at a run's
end ``done``, or ``failed`` and what went wrong. It ends at the end of its input.
"""

import os
import shutil
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from thirtytwo.errors import UserError

if TYPE_CHECKING:
    from thirtytwo.study.folder import StudyFolder


def main() -> None:
    """``worker FOLDER FILE...``, with the user's files that register components.

    Exits with 130 or 143 when it is asked to stop in the middle of a run, which it then saves.
    """
    asked: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_read, args=(asked,), daemon=True).start()

    import torch

    from thirtytwo.imports import blamed, run_file
    from thirtytwo.interrupt import Interrupted
    from thirtytwo.study.folder import StudyFolder

    folder = StudyFolder.open(sys.argv[1])
    torch.set_num_threads(folder.threads)
    files = [Path(file) for file in sys.argv[2:]]
    for file in files:
        run_file(file)
    while True:
        arm, _, seed = asked.get().partition("\t")
        try:
            _train(folder, arm, int(seed), files)
            _answer("done")
        except UserError as error:
            _answer(f"failed {error}")
        except Exception as error:
            if not (said := blamed(error)):
                raise
            _answer(f"failed {' '.join(said.split())}")
        except Interrupted as interrupted:
            sys.exit(128 + interrupted.signal)


def _read(asked: "SimpleQueue[str]") -> None:
    """Pass on the requests. The input ends with the process at its other end, even when that is killed.

    Then this process must not go on alone, since the study may be continued at once. (Reads the file descriptor: a
    thread that waits in Python's own buffer would keep the interpreter from exiting.)
    """
    rest = b""
    while data := os.read(0, 65536):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            asked.put(line.decode())
    os._exit(0)


def _answer(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _train(folder: "StudyFolder", arm: str, seed: int, files: list[Path]) -> None:
    from thirtytwo.tracking.events import Listener, Progress
    from thirtytwo.training.session import Session

    class Answers(Listener):
        def progressed(self, progress: Progress) -> None:
            _answer(f"{progress.seconds / (progress.seconds + progress.remaining):.4f}")

    trial = folder.trial(arm, seed)
    if trial.run is None:
        shutil.rmtree(trial.path, ignore_errors=True)
        recipe = folder.recipe(arm, seed)
        out, name = trial.path.parent, trial.path.name
        session = Session.new(recipe, out=out, name=name, device=folder.device, test=False, imports=files)
    else:
        session = Session.resume(trial.path, device=folder.device)

    session.complete(listeners=[Answers()])
