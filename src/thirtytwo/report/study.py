"""Write a study's report: what it found, how certain that is, and how it was done."""

from dataclasses import dataclass
from math import isnan
from pathlib import Path

import numpy as np

from thirtytwo.evaluation.compare import LEVEL, Compared
from thirtytwo.evaluation.estimate import Estimate, points
from thirtytwo.evaluation.metrics import ImageMetric, confusion, image_metric, recalls
from thirtytwo.evaluation.statistics import Statistic, of_runs, statistics
from thirtytwo.figures import canvas, pictures, scores
from thirtytwo.figures import studies as figures
from thirtytwo.figures.canvas import Drawing
from thirtytwo.figures.studies import ArmCurves, Gap
from thirtytwo.files import write_atomic
from thirtytwo.records import Env, EvaluationRecord, SplitRecord
from thirtytwo.report.html import LABEL, environment
from thirtytwo.report.view import Pair, as_command, of_plan, pairs
from thirtytwo.runs.run import Run
from thirtytwo.study.folder import StudyFolder, Trial
from thirtytwo.words import plural


@dataclass(frozen=True, eq=False)
class StudyView:
    """Everything that a study's report shows.

    Attributes:
        split: "val", or "test" once the study is closed.
        metric: the score that the arms are compared by.
        rows: one per arm, in the study's order; arms without a finished run are left out.
        statistics: by arm, the statistics of its runs together, by the statistic's name.
        overrides: by arm, the keys that it sets, as ``key=value``.
        trials: every run.
        curves: val's scores over the epochs, one entry per arm.
        gaps: accuracy on training images and on val, one entry per arm whose runs have both.
        classes: their names, in label order.
        previews: training images as they are, uint8 (N, C, H, W), and augmented by each arm; None unless arms differ.
        confusion: by arm, how many images of each class (rows) were predicted as each class, in all its runs together.
        caveats: what a reader must know before trusting a figure, one sentence each.
        definition: the study as TOML.
        command: what trains it again.
        data: split.json of a run; None before there is one.
        env: what a run ran on.
        seconds: training time of all runs together.
    """

    name: str
    path: Path
    closed: str | None
    split: str
    images: int
    metric: ImageMetric
    rows: list[Compared]
    statistics: dict[str, dict[str, Estimate]]
    overrides: dict[str, str]
    trials: list[Trial]
    curves: list[ArmCurves]
    gaps: list[Gap]
    classes: tuple[str, ...]
    previews: tuple[np.ndarray, dict[str, np.ndarray]] | None
    confusion: dict[str, np.ndarray]
    caveats: list[str]
    definition: str
    command: str
    data: SplitRecord | None
    env: Env
    seconds: float

    @property
    def best(self) -> Compared:
        """The arm of the best mean."""
        sign = 1 if self.metric.better == "higher" else -1
        return max(self.rows, key=lambda row: sign * row.mean.value)

    @property
    def weakest(self) -> tuple[str, float]:
        """The class with the lowest recall in the best arm, and that recall, over all its runs."""
        found = recalls(self.confusion[self.best.name])
        return self.classes[int(np.nanargmin(found))], float(np.nanmin(found))

    @property
    def recalls(self) -> dict[str, np.ndarray]:
        """By arm, the recall of each class over all its runs, float (K,); NaN for a class without images."""
        return {arm: recalls(matrix) for arm, matrix in self.confusion.items()}

    @property
    def largest_change(self) -> float:
        """How far a class's recall in any arm is from that in the first one, at most; at least 5 points."""
        found = np.stack([*self.recalls.values()]) if self.recalls else np.zeros((1, 1))
        return max(0.05, float(np.nanmax(np.abs(np.nan_to_num(found - found[0])))))

    @property
    def mistake(self) -> Pair | None:
        """The best arm's most frequent confusion; None without mistakes."""
        return next(iter(pairs(self.confusion[self.best.name], self.classes)), None)

    @property
    def comparisons(self) -> list[Compared]:
        """The rows that are compared with another one."""
        return [row for row in self.rows if row.difference]

    @property
    def columns(self) -> dict[str, Statistic]:
        """The statistics that are defined for any arm, by name."""
        found = dict.fromkeys(name for each in self.statistics.values() for name in each)
        return {name: statistics.build(name) for name in found}

    @property
    def shown(self) -> int:
        """Differences beyond chance after correction."""
        return sum(row.difference.shown for row in self.rows if row.difference)


def write(folder: StudyFolder, seen: StudyView) -> Path:
    """Write a study's ``report.html``, ``figures/*.png`` and ``results.csv`` into its folder; returns the page."""
    from markupsafe import Markup

    drawn = _figures(seen)
    pngs = folder.path / "figures"
    pngs.mkdir(exist_ok=True)
    for stale in pngs.glob("*.png"):
        stale.unlink()
    for name, (figure, _) in drawn.items():
        canvas.png(figure, pngs / f"{name}.png")
    inline = {name: Markup(canvas.svg(figure, label)) for name, (figure, label) in drawn.items() if label}
    page = (
        environment()
        .get_template("study.html.j2")
        .render(
            view=seen,
            figure=inline,
            level=LEVEL,
            points=points(seen.metric.unit),
            labels=dict(zip(seen.classes, canvas.labels(seen.classes, LABEL), strict=True)),
            bars_shown=canvas.BARS_SHOWN,
            first=next(iter(seen.recalls.values()), ()),
            most=seen.largest_change,
        )
    )
    path = folder.path / "report.html"
    write_atomic(path, page.encode("utf-8", "replace"))
    folder.write_results()
    return path


def table(folder: StudyFolder) -> str:
    """The arms compared, as an HTML table for a notebook."""
    split = folder.split()
    rows, metric = folder.compared(split), image_metric("accuracy")
    page = environment().get_template("study-table.html.j2")
    return page.render(rows=rows, split=split, name=folder.study.name, metric=metric)


def view(folder: StudyFolder, score: str = "accuracy") -> StudyView:
    """Read a study's folder into a `StudyView`, its arms compared by ``score``. Works on one that has just begun."""
    study, trials, split = folder.study, folder.trials(), folder.split()
    runs = [trial.run for trial in trials if trial.run]
    groups = folder.groups(split, score)
    rows = folder.table(groups)
    data = runs[0].split if runs else None
    return StudyView(
        name=study.name,
        path=folder.path,
        closed=folder.closed,
        split=split,
        images=data["sizes"][split] if data else 0,
        metric=image_metric(score),
        rows=rows,
        statistics={group.name: of_runs(group.runs) for group in groups},
        overrides={arm: " ".join(f"{key}={value}" for key, value in keys.items()) for arm, keys in study.arms.items()},
        trials=trials,
        curves=_curves(trials),
        gaps=_gaps(trials),
        classes=tuple(data["classes"]) if data else (),
        previews=_previews(trials),
        confusion={group.name: np.sum([confusion(run) for run in group.runs.values()], axis=0) for group in groups},
        caveats=_caveats(folder, trials, rows, data),
        definition=folder.definition,
        command=_command(folder, runs),
        data=data,
        env=runs[0].env if runs else {},
        seconds=sum(run.status.get("seconds", 0.0) for run in runs),
    )


def _command(folder: StudyFolder, runs: list[Run]) -> str:
    """What trains its study.toml again from any directory: the data's folder is named, where all runs had the same."""
    there = {run.env.get("source") for run in runs}
    found = next(iter(there)) if len(there) == 1 else None
    named = {run.recipe.data.source for run in runs}
    values = {"data.source": found} if found and found not in named else {}
    return as_command("study study.toml", values, folder.imports)


def _previews(trials: list[Trial]) -> tuple[np.ndarray, dict[str, np.ndarray]] | None:
    """From the runs of the first seed; None unless they augment differently and show the same pictures."""
    first = {trial.arm: trial.run for trial in trials if trial.run and trial.seed == trials[0].seed}
    kept = {arm: stored[0] for arm, run in first.items() if (stored := run.training_pictures())}
    if (
        len({run.recipe.augment for run in first.values()}) < 2
        or len({each[0].tobytes() for each in kept.values()}) != 1
    ):
        return None
    return next(iter(kept.values()))[0], {arm: each[1] for arm, each in kept.items() if len(each) > 1}


def _curves(trials: list[Trial]) -> list[ArmCurves]:
    by_arm: dict[str, list[list[EvaluationRecord]]] = {trial.arm: [] for trial in trials}
    for trial in trials:
        if trial.run is None or "solved" in (trial.run.card or {}):  # has no curve
            continue
        if trial.state == "finished" and (lines := trial.run.metrics()):
            by_arm[trial.arm].append(lines)
    return [_arm_curves(arm, found) for arm, found in by_arm.items() if found]


def _gaps(trials: list[Trial]) -> list[Gap]:
    found: dict[str, list[tuple[float, float]]] = {trial.arm: [] for trial in trials}
    for trial in trials:
        if trial.run is None or "train_accuracy" not in trial.run.status:
            continue
        if scored := trial.run.predictions("val"):
            found[trial.arm].append((trial.run.status["train_accuracy"], float(scored[0].correct.mean())))
    return [Gap(arm, *map(float, np.mean(both, axis=0))) for arm, both in found.items() if both]


def _arm_curves(arm: str, runs: list[list[EvaluationRecord]]) -> ArmCurves:
    """The curves of an arm's runs; NaN after the end of those that stopped early."""
    longest = max(runs, key=len)
    values = np.full((2, len(runs), len(longest)), np.nan)
    for i, lines in enumerate(runs):
        values[0, i, : len(lines)] = [line["val_accuracy"] for line in lines]
        values[1, i, : len(lines)] = [line["val_loss"] for line in lines]
    return ArmCurves(arm, np.array([line["epoch"] for line in longest]), *values)


def _caveats(folder: StudyFolder, trials: list[Trial], rows: list[Compared], data: SplitRecord | None) -> list[str]:
    sentences = []
    missing = sum(trial.state != "finished" for trial in trials)
    if missing:
        sentences.append(
            f"{missing} of {plural(len(trials), 'run')} {'is' if missing == 1 else 'are'} not finished: differences "
            "are over the seeds that both arms have."
        )
    sentences += of_plan(data)
    if any(trial.run and trial.run.recipe.train.patience is not None for trial in trials):
        sentences.append("Val decided when runs stopped, so val's figures are a little too good; test's are not.")
    if not folder.closed:
        sentences.append(
            "The test split is withheld while the study is open: the figures are val's. 'thirtytwo study close FOLDER' "
            "scores test, once."
        )
    if folder.grown:
        sentences.append(
            "Seeds or arms were added after this study had begun. If that was decided by looking at the table, the "
            "p-values are too small."
        )
    seeds = max((len(row.by_seed) for row in rows), default=0)
    if seeds == 1:
        sentences.append("One seed per arm: nothing is known about the spread over seeds. Train at least three.")
    unspread = [row.name for row in rows if row.difference and isnan(row.difference.p)]
    if unspread:
        sentences.append(f"No p-value, since the differences have no spread: {', '.join(unspread)}.")
    return sentences


def _figures(seen: StudyView) -> dict[str, Drawing]:
    drawn = {}
    if seen.rows:
        drawn["means"] = Drawing(
            figures.means(seen.rows, seen.metric),
            f"{seen.metric.title} on {seen.split} by arm; the table has the numbers",
        )
        best = seen.confusion[seen.best.name]
        drawn["classes"] = Drawing(
            figures.class_recalls(list(seen.recalls), seen.classes, np.stack([*seen.recalls.values()])), ""
        )
        drawn["confusion"] = Drawing(
            scores.confusion(best, seen.classes),
            f"confusion matrix of {seen.best.name} on {seen.split}, all its runs together",
        )
    if seen.comparisons:
        drawn["differences"] = Drawing(
            figures.differences(seen.rows, seen.metric),
            f"difference of {seen.metric.title} on {seen.split} by arm; the table has the numbers",
        )
    if seen.previews:
        images, by_arm = seen.previews
        titles = [
            title
            for arm in ("as it is", *canvas.labels(list(by_arm), 24))
            for title in (arm, *[""] * (len(images) - 1))
        ]
        shown = np.concatenate([images, *by_arm.values()])
        drawn["previews"] = Drawing(
            pictures.sample_grid(shown, titles, len(images)), "training pictures, one row per arm"
        )
    if seen.gaps:
        drawn["gaps"] = Drawing(
            figures.gaps(seen.gaps),
            "accuracy by arm on training images and on val: "
            + ", ".join(f"{each.name} {100 * (each.train - each.val):+.1f} points" for each in seen.gaps),
        )
    if seen.curves:
        first = next(iter(seen.overrides))
        drawn["curves"] = Drawing(
            figures.arm_curves(seen.curves, first, "accuracy"),
            "accuracy on val by epoch, one plot per arm",
        )
        drawn["losses"] = Drawing(
            figures.arm_curves(seen.curves, first, "loss"), "loss on val by epoch, one plot per arm"
        )
    return drawn
