"""More epochs for a run that has ended, and data that was moved since."""

import hashlib
import shutil
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import thirtytwo
from listening import interrupting
from thirtytwo import recipes
from thirtytwo.api.overrides import assignments
from thirtytwo.data.load import load
from thirtytwo.errors import UserError
from thirtytwo.interrupt import Interrupted
from thirtytwo.recipe import resolve_key
from thirtytwo.runs.loading import images_of
from thirtytwo.runs.run import Run
from thirtytwo.tracking import Listener
from thirtytwo.training.continuing import CHANGEABLE
from thirtytwo.training.session import Session

SMALL = {"model": "cnn2(width=2)", "data__limit": 300, "batch_size": 64}
STEADY = {**SMALL, "schedule": "constant"}
"""With a constant rate, a training that goes on is the same as one that was as long from the start."""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("thirtytwo.training.loop.TICK", 0.0)


def trained_by(session: Session, *listeners: Listener) -> Run:
    session.complete(listeners=listeners)
    return session.run


def train(*listeners: Listener, test: bool = True, **settings: Any) -> Run:
    recipe = recipes.find("digits-cnn").override(assignments(settings))
    return trained_by(Session.new(recipe, out=Path("runs"), device="cpu", test=test), *listeners)


def go_on(old: Run, *listeners: Listener, data: Path | None = None, **changes: Any) -> Run:
    session = Session.go_on(old.path, assignments(changes), out=Path("runs"), data=data and str(data))
    return trained_by(session, *listeners)


def stopping(step: int) -> Listener:
    """Stops a training after the step that follows this one."""
    return interrupting(lambda progress: progress.step == step)


def content(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize(
    "settings",
    [
        {"average": "ema(0.9)", "augment": "translate(1)"},
        {"optim__name": "adamw", "lr": 0.01, "patience": 9},
        {"optim__name": "muon"},
        {"freeze": "all-but-head", "feature_views": 2},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_more_epochs_in_a_new_run_give_the_bits_of_a_training_that_was_as_long_from_the_start(settings):
    whole = train(**STEADY, **settings, epochs=3)
    short = train(**STEADY, **settings, epochs=1)
    before = content(short.path)
    longer = go_on(short, epochs=3)
    assert longer.read_weights() == whole.read_weights() != short.read_weights()
    assert content(short.path) == before
    assert [line["epoch"] for line in longer.metrics()] == [1, 2, 3]
    assert longer.split == short.split


def test_it_goes_on_from_a_run_that_was_stopped_and_may_itself_be_stopped_and_resumed():
    whole = train(**STEADY, epochs=3, average="ema(0.9)")
    with pytest.raises(Interrupted):
        train(stopping(5), **STEADY, epochs=2, average="ema(0.9)", name="stopped")
    with pytest.raises(Interrupted):
        go_on(Run.open("runs/stopped-1"), stopping(9), epochs=3, name="on")
    on = Session.resume(Path("runs/on-1"))
    assert on.run.env["continued"]["step"] == 6
    assert trained_by(on).read_weights() == whole.read_weights()


def test_the_schedule_is_that_of_the_whole_new_training(cli):
    short = train(**SMALL, schedule="cosine", epochs=2)
    done = cli("train", "--continue", short.path, "epochs=4")
    assert done.code == 0 and "continues" in done.out
    assert "cosine over all 4 epochs: the rate is 0.5 of its peak" in done.out
    longer = Run.open("runs/digits-cnn-2")
    assert longer.env["continued"]["rate"] == pytest.approx(0.5) and longer.env["continued"]["looks"] == 1
    page = (longer.path / "report.html").read_text(encoding="utf-8")
    assert f"goes on from step 8 of {short.path.resolve()}" in page and "thirtytwo train recipe.toml" not in page


def test_a_schedule_that_watches_val_keeps_what_it_knows_unless_it_is_another_one():
    def rates(run: Run) -> list[float]:
        return [line["lr"] for line in run.metrics()]

    short = train(**SMALL, schedule="plateau(factor=0.5,patience=1)", lr=1e-30, epochs=3)
    assert rates(go_on(short, epochs=4))[3] < rates(short)[2] < rates(short)[0]
    assert rates(go_on(short, epochs=4, schedule="plateau(factor=0.9,patience=1)"))[3] == rates(short)[0]


def test_early_stopping_begins_anew():
    short = train(**SMALL, lr=1e-30, patience=1, epochs=9)
    assert len(short.metrics()) == 2
    assert len(go_on(short, patience=2, epochs=9).metrics()) == 2 + 3


def test_what_was_withheld_and_what_it_learned_from_stay_as_they_were(trained):
    taught = train(**SMALL, epochs=1, teacher=f"run:{trained}", test=False)
    longer = go_on(taught, epochs=2)
    assert longer.accuracies().keys() == {"val"}
    assert longer.env["teacher"] == taught.env["teacher"] == str(trained)
    assert longer.env["teacher_sha256"] == taught.env["teacher_sha256"]


def test_without_the_checkpoint_that_it_goes_on_from_a_run_does_not_begin_from_random_weights(cli):
    short = train(**SMALL, epochs=1)
    with pytest.raises(Interrupted):
        go_on(short, stopping(5), epochs=2)
    shutil.rmtree("runs/digits-cnn-2/checkpoints")
    done = cli("train", "--resume", "runs/digits-cnn-2")
    assert done.code == 2 and f"`thirtytwo train --continue {short.path.resolve()}` begins it again" in done.err


@pytest.mark.parametrize(
    "words, said",
    [
        (["--continue", "{run}"], "train.epochs=6: {run} has trained 6 epochs: set train.epochs, the new total, above"),
        (["--continue", "{run}", "epochs=3"], "has trained 6 epochs"),
        (["--continue", "{run}", "seed=1"], "seed: cannot change while {run} goes on"),
        (["--continue", "{run}", "epochs=8", "model=lenet"], "`thirtytwo train {run} model=run:{run} model=...`"),
        (["--continue", "{run}", "digits-cnn"], "leave out 'digits-cnn'"),
        (["--continue", "{run}", "--bad-images", "skip"], "leave out '--bad-images'"),
        (["--continue", "{run}", "--resume", "{run}"], "choose one of them"),
        (["--continue", "no/run", "epochs=8"], "no such run folder"),
        (["--continue", "{run}", "epochs=8", "augment=translate(9)"], "translate"),
        (["--resume", "{run}", "epochs=8"], "`thirtytwo train --continue {run} epochs=8`"),
        (["--data", "x"], "data.source=x"),
    ],
)
def test_a_mistake_names_the_way_and_leaves_nothing(words, said, trained, cli):
    before = content(trained)
    done = cli("train", *(word.format(run=trained) for word in words))
    assert done.code == 2 and done.err.count("\n") == 1 and said.format(run=trained) in done.err
    assert content(trained) == before and not Path("runs").exists()


def test_training_a_runs_recipe_anew_says_so(trained, cli):
    done = cli("train", trained, "epochs=0.1", "model=cnn2(width=2)", "--no-test")
    assert f"of {trained}" in done.out and f"`--continue {trained}` goes on from its weights" in done.out
    again = cli("train", "--resume", trained)
    assert "nothing to resume" in again.out and f"--continue {trained} epochs=..." in again.out


def test_the_keys_that_python_takes_are_those_that_may_change():
    named = {resolve_key(key.replace("__", ".")) for key in get_type_hints(thirtytwo.Changes)}
    assert named == set(CHANGEABLE)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    found = load_digits()
    for i, (image, label) in enumerate(zip(found.images[:200], found.target[:200], strict=True)):
        folder = tmp_path / "pictures" / f"digit {label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15).astype("uint8")).save(folder / f"{i}.png")
    return tmp_path / "pictures"


OF_FOLDER = {"model": "cnn2(width=2)", "epochs": 2, "batch_size": 32}


def test_a_run_whose_data_was_moved_is_told_where_it_is_now(pictures, cli):
    whole = train(source=pictures, **OF_FOLDER)
    with pytest.raises(Interrupted):
        train(stopping(1), source=pictures, name="cut", **OF_FOLDER)
    moved = pictures.rename("elsewhere").resolve()
    some = f"val:{whole.split['ids']['val'][0]}"
    reading = [["predict", whole.path, some], ["explain", whole.path, some]]
    for words in (["test", whole.path], *reading, ["train", "--resume", "runs/cut-1"],
                  ["train", "--continue", whole.path, "epochs=3"]):  # fmt: skip
        refused = cli(*words)
        assert refused.code == 2 and refused.err.count("\n") == 1
        assert all(said in refused.err for said in ("runs/", str(pictures), "--data NEW"))
        other = cli(*words, "--data", "digits")
        assert other.code == 2 and "images of 'digits' are not those" in other.err
        assert "no such file or folder" in cli(*words, "--data", "no-such").err
    for words in reading:
        assert cli(*words, "--data", moved).code == 0
    resumed = trained_by(Session.resume(Path("runs/cut-1"), data=str(moved)))
    assert resumed.read_weights() == whole.read_weights()
    assert resumed.env["source"] == go_on(whole, epochs=3, data=moved).env["source"] == str(moved)
    assert len(images_of(resumed, "test")) == resumed.split["sizes"]["test"], "the run remembers"


def test_images_in_memory_stand_for_those_that_were_moved_if_they_are_the_same(pictures):
    run = train(source=pictures, **OF_FOLDER)
    some = f"val:{run.split['ids']['val'][0]}"
    answer = thirtytwo.open_run(run.path).predict(some)
    images = load(str(pictures)).train
    shutil.rmtree(pictures)
    assert thirtytwo.open_run(run.path, data=images).predict(some) == answer
    found = load_digits()
    with pytest.raises(UserError, match="are not those"):
        thirtytwo.open_run(run.path, data=((found.images * 14).astype("uint8"), found.target)).predict(some)


def test_what_was_added_to_a_folder_changes_nothing_for_earlier_runs(pictures):
    whole = train(source=pictures, **OF_FOLDER)
    with pytest.raises(Interrupted):
        train(stopping(1), source=pictures, name="cut", **OF_FOLDER)
    run = thirtytwo.open_run(whole.path)
    some = [f"val:{number}" for number in whole.split["ids"]["val"][:5]]
    answers, score = run.predict(some), run.scores("test")["accuracy"]
    found = load_digits()
    for i, (image, label) in enumerate(zip(found.images[200:300], found.target[200:300], strict=True)):
        Image.fromarray((image * 15).astype("uint8")).save(pictures / f"digit {label}" / f"0 new {i}.png")
    (pictures / "a class before all others").mkdir()
    for i in range(3):
        blank = Image.fromarray(np.full((8, 8), 40 * i, dtype=np.uint8))
        blank.save(pictures / "a class before all others" / f"{i}.png")
    run = thirtytwo.open_run(whole.path)
    assert run.predict(some) == answers
    assert run.test()["accuracy"] == score
    resumed = trained_by(Session.resume(Path("runs/cut-1")))
    assert resumed.read_weights() == whole.read_weights()
    assert (images_of(whole, "train").labels == images_of(resumed, "train").labels).all()


def test_where_a_training_image_is_gone_the_other_splits_are_still_there(pictures):
    run = train(source=pictures, **OF_FOLDER)
    kept = set(images_of(run, "test").paths + images_of(run, "val").paths)
    gone = next(path for path in sorted(pictures.glob("*/*.png")) if str(path.relative_to(pictures)) not in kept)
    gone.unlink()
    assert len(images_of(run, "test")) == run.split["sizes"]["test"]
    with pytest.raises(UserError, match=r"the train images of .* are not those"):
        images_of(run, "train")


def test_a_folder_called_like_a_source_is_not_where_its_images_were(tmp_path):
    (tmp_path / "digits").mkdir()
    run = train(**SMALL, epochs=1)
    assert "source" not in run.env and len(images_of(run, "val")) == run.split["sizes"]["val"]
