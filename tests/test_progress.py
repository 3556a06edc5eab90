"""What a training says of the time that it needs."""

import pytest

from thirtytwo import recipes
from thirtytwo.evaluation.predict import VIEWS
from thirtytwo.runs.run import Run
from thirtytwo.tracking import Listener, Progress
from thirtytwo.training.loop import Clock
from thirtytwo.training.meter import Meter
from thirtytwo.training.session import Session, prepare

QUICK = {"model": "cnn2(width=2)", "train.epochs": 2}


class Heard(Listener):
    def __init__(self) -> None:
        self.last: Progress | None = None
        self.scored_before: list[bool] = []

    def progressed(self, progress: Progress) -> None:
        self.last = progress

    def trained(self, run: Run) -> None:
        assert run.card is not None
        self.scored_before.append(bool(run.accuracies()))


def test_after_the_last_step_the_scoring_is_left_and_said(tmp_path):
    heard = Heard()
    recipe = recipes.find("digits-cnn").override({**QUICK, "evaluate.views": "flip"})
    Session.new(recipe, out=tmp_path, device="cpu").complete(listeners=[heard])
    assert heard.last and heard.last.share == 1 and heard.last.remaining > 0
    assert heard.scored_before == [False]


def test_a_training_that_stops_early_says_how_far_it_came(tmp_path):
    heard = Heard()
    recipe = recipes.find("digits-cnn").override({**QUICK, "optim.lr": 1e-30, "train.patience": 1, "train.epochs": 9})
    Session.new(recipe, out=tmp_path, device="cpu", test=False).complete(listeners=[heard])
    assert heard.last and heard.last.epoch == 2 and heard.scored_before == [False]


@pytest.mark.parametrize("views", VIEWS)
def test_the_time_left_is_that_of_the_steps_and_of_the_images_to_score(views):
    parts = prepare(recipes.find("digits-cnn").override({**QUICK, "evaluate.views": views}), "cpu")
    clock = Clock(0.0, 0, 1000 * VIEWS[views])
    clock.per_image = 0.5
    done = Meter(step=parts.steps)
    assert clock.progress(parts, done).remaining == pytest.approx(500 * VIEWS[views])


def test_scoring_shows_a_bar_on_a_terminal(run_copy, cli, monkeypatch):
    monkeypatch.setattr("thirtytwo.evaluation.predict.BATCH", 100)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    shown = cli("test", run_copy).err
    assert "scoring test" in shown and "drawing the report" in shown
