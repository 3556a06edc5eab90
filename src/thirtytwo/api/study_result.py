"""A study's results: its table, its runs, its report."""

from collections.abc import Sequence
from pathlib import Path

from thirtytwo.api.trained import TrainedRun
from thirtytwo.evaluation.compare import Compared
from thirtytwo.report.study import table as study_table
from thirtytwo.report.study import view as view_study
from thirtytwo.report.study import write as write_study_report
from thirtytwo.study.closing import close
from thirtytwo.study.folder import StudyFolder


class StudyResult:
    """A study's folder: what its arms have reached so far, and how they compare.

    >>> from thirtytwo import Study, run_study
    >>> arms = {"plain": {}, "mirror": {"augment": "flip"}}
    >>> small = {"model": "cnn2(width=2)", "epochs": 1}
    >>> study = Study(name="mirror", base="digits-cnn", seeds=[0], set=small, arms=arms)
    >>> result = run_study(study, jobs=1, progress=False)
    >>> [row.name for row in result.table()]
    ['plain', 'mirror']
    """

    def __init__(self, folder: StudyFolder) -> None:
        self.folder = folder

    @property
    def path(self) -> Path:
        """The study's folder."""
        return self.folder.path

    def table(self, score: str = "accuracy") -> list[Compared]:
        """The arms compared by ``score``: on val while the study is open, on test once it is closed.

        Raises UserError for a score that is not a mean over images.
        """
        return self.folder.compared(self.folder.split(), score)

    def run(self, arm: str, seed: int) -> TrainedRun:
        """One run of the study. Raises UserError when it has not begun."""
        return TrainedRun.open(self.folder.run_path(arm, seed))

    def close(
        self, arms: Sequence[str] = (), *, device: str = "auto", data: str | Path | None = None
    ) -> list[Compared]:
        """Score test for every run of ``arms``, all if none is named, once and for all; return the table on test.

        ``data`` is where the runs' images are now, if they were moved.
        """
        close(self.folder, arms, device=device, data=None if data is None else str(data), watch=lambda name: None)
        return self.table()

    def report(self, score: str = "accuracy") -> Path:
        """Write report.html, results.csv and figures/ again from the files in the runs' folders.

        The arms are compared by ``score``. Raises UserError for one that is not a mean over images.
        """
        return write_study_report(self.folder, view_study(self.folder, score))

    def __repr__(self) -> str:
        return f"StudyResult({str(self.path)!r})"

    def _repr_html_(self) -> str:
        return study_table(self.folder)
