"""A study at hand: its table, its runs, its report."""

from pathlib import Path

from thirtytwo.api.trained import TrainedRun
from thirtytwo.evaluation.compare import Compared
from thirtytwo.report.study import table as study_table
from thirtytwo.report.study import view as view_study
from thirtytwo.report.study import write as write_study_report
from thirtytwo.study.closing import close
from thirtytwo.study.folder import StudyFolder


class StudyResult:
    """A study's folder: what its arms reached so far, and how they compare."""

    def __init__(self, folder: StudyFolder) -> None:
        self.folder = folder

    @property
    def path(self) -> Path:
        """The study's folder."""
        return self.folder.path

    def table(self) -> list[Compared]:
        """The arms beside each other: on val while the study is open, on test once it is closed."""
        return self.folder.compared(self.folder.split())

    def run(self, arm: str, seed: int) -> TrainedRun:
        """One run of it. Raises UserError when it has not begun."""
        return TrainedRun.open(self.folder.run_path(arm, seed))

    def close(self) -> list[Compared]:
        """Score test for every run, once and for all; the table on test."""
        close(self.folder, watch=lambda name: None)
        return self.table()

    def report(self) -> Path:
        """Write report.html, results.csv and figures/ anew from what the runs left behind."""
        return write_study_report(self.folder, view_study(self.folder))

    def __repr__(self) -> str:
        return f"StudyResult({str(self.path)!r})"

    def _repr_html_(self) -> str:
        return study_table(self.folder)
