"""Closing a study: the one time that its runs are scored on test."""

from collections.abc import Callable, Sequence

from thirtytwo.device import Device
from thirtytwo.errors import UserError, did_you_mean
from thirtytwo.runs.loading import load_classifier
from thirtytwo.runs.score import score_test
from thirtytwo.study.folder import StudyFolder
from thirtytwo.words import plural


def close(
    folder: StudyFolder,
    arms: Sequence[str] = (),
    *,
    device: str = "auto",
    data: str | None = None,
    watch: Callable[[str], None],
) -> None:
    """Score test for every run of ``arms`` (all, if none is named), then mark the study as closed.

    ``data`` is where the runs' images are now, if they were moved. A kill in between leaves the study open with some
    runs scored; closing it again scores the others. Raises UserError for an arm that does not exist, a study that is
    closed, and one in which runs of ``arms`` are not finished.
    """
    study = folder.study
    for arm in arms:
        if arm not in study.arms:
            raise UserError(f"{folder.path}: has no arm '{arm}'{did_you_mean(arm, study.arms)}")
    with folder.owned():
        trials = [trial for trial in folder.trials() if not arms or trial.arm in arms]
        unfinished = [trial.name for trial in trials if trial.state != "finished"]
        if unfinished:
            raise UserError(
                f"{folder.path}: {len(unfinished)} of {plural(len(trials), 'run')} "
                f"{'is' if len(unfinished) == 1 else 'are'} not finished ({unfinished[0]}): "
                f"`thirtytwo study {folder.path}` trains them, or name the arms to close with by --arm"
            )
        for trial in trials:
            assert trial.run is not None
            if not trial.run.predictions("test"):
                place = Device.choose(device, trial.run.env.get("precision", "auto"))
                score_test(trial.run, load_classifier(trial.run, place), place, by="study", data=data)
                watch(trial.name)
        folder.close(arms or list(study.arms))
