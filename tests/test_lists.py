"""Lists and answers as they are shown: at any width, in a pipe, of many things, with a broken one among them."""

import csv
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import torch
from PIL import Image
from rich.cells import cell_len
from sklearn.datasets import load_digits

import thirtytwo
from thirtytwo.cli import listed
from thirtytwo.cli.console import say, say_table
from thirtytwo.data.imageset import Official
from thirtytwo.data.load import load
from thirtytwo.data.picture import BadPicture, decode
from thirtytwo.data.split import make_splits, sizes
from thirtytwo.display import Display, output
from thirtytwo.errors import UserError
from thirtytwo.files import sha256
from thirtytwo.recipe import Recipe
from thirtytwo.recipes import find, recipes, run_name
from thirtytwo.runs.card import unlike_training
from thirtytwo.runs.run import Run
from thirtytwo.tracking.events import Progress
from thirtytwo.words import plural

WIDTHS = (40, 80, 200)
BEFORE = Path(__file__).parent / "before"


@pytest.fixture
def terminal(monkeypatch) -> Callable[[int], None]:
    """Make the output a terminal that is so wide."""

    def of(width: int) -> None:
        monkeypatch.setattr(output, "_force_terminal", True)
        monkeypatch.setattr(output, "_width", width)

    return of


def plain(text: str) -> list[str]:
    """The lines of a terminal's output, without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()


def run_of(recipe: Recipe, trained: Path, path: Path) -> Path:
    """A run like ``trained`` whose recipe is another."""
    path.mkdir(parents=True)
    for file in trained.iterdir():
        if file.suffix in (".json", ".jsonl", ".csv"):
            shutil.copy(file, path)
    text = recipe.to_toml()
    (path / "recipe.toml").write_text(text)
    Run(path).set_status("finished", recipe_sha256=sha256(text.encode()))
    return path


@pytest.fixture
def runs(trained, tmp_path) -> Path:
    """Five runs: three seeds of one recipe, another rate, and other data, of which one has not been scored."""
    root, recipe = tmp_path / "runs", find("digits-cnn")
    for seed in range(3):
        run_of(recipe.override({"seed": seed}), trained, root / f"digits-cnn-{seed + 1}")
    run_of(recipe.override({"lr": 0.5, "augment": "none"}), trained, root / "digits-cnn-10")
    bare = run_of(find("finetune").override({"data.source": "/far/my birds"}), trained, root / "my-birds-finetune-1")
    for name in ("scores.json", "results.csv", "looks.jsonl"):
        (bare / name).unlink()
    scores = json.loads((root / "digits-cnn-2/scores.json").read_text())
    for each in scores["scorings"]:
        each["right"] = each["n"] // 2
    (root / "digits-cnn-2/scores.json").write_text(json.dumps(scores))
    return root


# Runs.


@pytest.mark.parametrize("width", WIDTHS)
def test_a_list_of_runs_fits_the_terminal_one_line_each(cli, runs, terminal, width, monkeypatch):
    monkeypatch.chdir(runs.parent)
    terminal(width)
    lines = plain(cli("runs", "list", "runs").out)
    table = lines[: lines.index("")] if "" in lines else lines
    assert max(map(cell_len, lines)) <= width and len(table) == 6
    assert table[0].split()[0] == "run" and "val %" in table[0]
    assert {re.split(r"[/…]", line.split()[0])[-1] for line in table[1:]} == {path.name for path in runs.iterdir()}
    if width >= 80:
        assert "test %" in table[0] and "augment" in table[0]
    if width >= 200:
        assert "lr" in table[0].split() and "seed" in table[0].split()
    else:
        assert "no room for" in " ".join(lines[len(table) :])


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_why_a_run_cannot_be_read_stands_below_the_table_in_full(cli, runs, terminal, width, monkeypatch):
    monkeypatch.chdir(runs.parent)
    for number, name in enumerate(("status.json", "recipe.toml", "env.json", "scores.json"), 20):
        shutil.copytree(runs / "digits-cnn-1", runs / f"bad-{number}")
        (runs / f"bad-{number}" / name).write_text("{")
    terminal(width)
    lines = plain(cli("runs", "list", "runs").out)
    assert len(lines[: lines.index("")]) == 6, "the table has those that can be read"
    below = " ".join(lines[lines.index("") :])
    for path in runs.glob("bad-*"):
        with pytest.raises(UserError) as error:
            run = Run.open(path.relative_to(runs.parent))
            _ = run.recipe, run.env, run.scores()
        assert " ".join(str(error.value).split()) in below
    for path in runs.glob("[!b]*"):
        shutil.rmtree(path)
    alone = plain(cli("runs", "list", "runs").out)
    assert alone[0].startswith("runs/bad-20/status.json:") and "no room" not in " ".join(alone)


@pytest.mark.parametrize("width", range(20, 200, 20))
def test_a_column_is_shown_or_named_below_the_table(cli, runs, terminal, width):
    terminal(width)
    table = listed.columns([listed.read(path) for path in runs.iterdir()], ["augment", "optim.lr"])
    shown = listed.fitted(table, width)
    named = listed.left_out(table, shown)
    for column in table:
        score = column.removesuffix(" interval")
        assert (column in shown) != ({column, listed.title(column), listed.title(score)} & {*named} != set())
    below = " ".join(plain(cli("runs", "list", runs).out)[6:])
    assert all(title in below for title in named)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_study_shows_its_other_runs_and_says_below_why_one_cannot_be_read(cli, tmp_path, terminal, width):
    folder = Path(shutil.copytree(BEFORE / "closed", tmp_path / "s"))
    whole = json.loads(cli("study", "status", folder, "--json").out)["runs"]
    path = Path(whole[0]["path"])
    (path / "status.json").write_text("{")
    with pytest.raises(UserError) as error:
        Run.open(path)
    rows = json.loads(cli("study", "status", folder, "--json").out)["runs"]
    assert rows == [{**whole[0], "state": "unreadable", "error": str(error.value)}, *whole[1:]]
    terminal(width)
    done = cli("study", "status", folder)
    lines = plain(done.out)
    shown = " ".join(lines)
    assert done.code == 0 and f"{len(whole) - 1} of {len(whole)} runs finished" in " ".join(shown.split())
    assert shown.count("unreadable") == 1 and str(error.value) in shown and shown.count("%") == len(whole) - 1


def test_a_pipe_gets_every_column_whole_and_plain_whatever_the_terminal(cli, runs, monkeypatch):
    deep = runs.parent / ("a-very-long-name-of-a-folder-" * 5) / "runs"
    shutil.copytree(runs, deep)
    done = cli("runs", "list", deep)
    assert "…" not in done.out and "\x1b" not in done.out and str(deep / "my-birds-finetune-1") in done.out
    head, *lines = done.out.splitlines()
    assert len(lines) == 5 and not any(line.endswith(" ") for line in lines)
    for column in ("state", "date", "data", "model", "augment", "lr", "seed", "epochs", "size", "parameters", "seconds",
                   "val %", "test %", "looks"):  # fmt: skip
        assert column in head
    monkeypatch.setattr(output, "_width", 40)
    assert cli("runs", "list", deep).out == done.out


def test_only_what_differs_is_a_column_and_json_says_it_for_each_run(cli, runs, trained):
    rows = {Path(row["run"]).name: row for row in json.loads(cli("runs", "list", runs, "--json").out)}
    assert rows["digits-cnn-10"]["differs"]["optim.lr"] == 0.5 and rows["digits-cnn-1"]["differs"]["optim.lr"] != 0.5
    assert rows["my-birds-finetune-1"]["data"] == "my-birds" and rows["digits-cnn-3"]["seed"] == 2
    assert rows["digits-cnn-1"]["size"] == [8, 8] and rows["digits-cnn-1"]["epochs"] == 40
    assert rows["my-birds-finetune-1"]["val"] is None and rows["my-birds-finetune-1"]["state"] == "finished"
    # Keys in which the recipes themselves differ, without an override, are no columns: the run's name says the recipe.
    assert not {"schedule", "train.batch_size"} & {*rows["digits-cnn-1"]["differs"]}
    alone = json.loads(cli("runs", "list", trained.parent, "--json").out)
    assert [row["differs"] for row in alone] == [{}]


@pytest.mark.parametrize(
    "expressions, names",
    [
        (["seed=2"], ["3"]),
        (["seed>=1", "accuracy>0.9"], ["3"]),
        (["accuracy<60%"], ["2"]),
        (["lr=0.5"], ["10"]),
        (["optim.lr=.50"], ["10"]),
        (["augment~TRANS", "data=digits"], ["1", "2", "3"]),
        (["augment!=none", "run~cnn"], ["1", "2", "3"]),
        (["data.limit=none", "size=8x8", "seed<1", "data=digits"], ["1", "10"]),
        (["run~nowhere"], []),
        (["date>=2020", "date!=1999-12", "date~:", "seed=2"], ["3"]),
        (["date<2020-01-01"], []),
        (["patience=none", "nesterov=true", "seed=2", "size=8"], ["3"]),
    ],
)
def test_runs_are_filtered_by_columns_and_keys(cli, runs, expressions, names):
    words = [word for each in expressions for word in ("--filter", each)]
    done = cli("runs", "list", runs, *words, "--json")
    assert [Path(row["run"]).name.removeprefix("digits-cnn-") for row in json.loads(done.out)] == names
    if not names:
        assert "none of its 5 runs" in cli("runs", "list", runs, *words).out


def test_runs_are_sorted_by_columns_and_keys_those_without_a_value_last(cli, runs):
    def order(key: str) -> list[str]:
        return [Path(row["run"]).name for row in json.loads(cli("runs", "list", runs, "--sort", key, "--json").out)]

    assert order("val")[0] == order("-val")[-2] == "digits-cnn-2"
    assert order("val")[-1] == order("-val")[-1] == "my-birds-finetune-1"
    assert order("-lr")[0] == order("lr")[-1] == "digits-cnn-10" and order("-run") == order("run")[::-1]
    assert order("run")[:4] == [f"digits-cnn-{number}" for number in (1, 2, 3, 10)]


@pytest.mark.parametrize(
    "words, fragments",
    [
        (["--filter", "acuracy>1"], ["acuracy", "did you mean 'accuracy'"]),
        (["--filter", "accuracy"], ["'accuracy'", "KEY=VALUE"]),
        (["--filter", "val>90"], ["0.9, or 90%"]),
        *(
            (["--filter", f"{key}{sign}x"], [f"{key}{sign}x", "is a number: compare it with one"])
            for key in ("val", "test", "seed", "epochs", "parameters", "size", "optim.lr", "data.limit", "data.val")
            for sign in ("=", ">", "!=", "<=")
        ),
        *(
            (["--filter", f"{key}={word}"], ["is a number"])
            for key, word in (("val", ""), ("seed", "nan"), ("lr", "none"))
        ),
        *((["--filter", f"date{sign}x"], ["a date such as 2026-11"]) for sign in ("=", ">")),
        *(
            (["--filter", f"{key}>3"], ["no order: use =, != or ~"])
            for key in ("model", "state", "augment", "nesterov")
        ),
        (["--filter", "nesterov=yes"], ["is true or false"]),
        (["--sort", "lrr"], ["lrr", "neither a column nor"]),
    ],
)
def test_a_mistake_in_filter_or_sort_is_one_line(cli, runs, words, fragments):
    done = cli("runs", "list", runs, *words)
    assert done.code == 2 and done.err.count("\n") == 1 and all(each in done.err for each in fragments)


@pytest.mark.parametrize(
    "name, source, expected",
    [
        ("digits-cnn", "digits", "digits-cnn"),
        ("digits-cnn", "/home/ada/birds", "birds-digits-cnn"),
        ("digits-cnn", "mnist", "mnist-digits-cnn"),
        ("finetune", "pictures", "pictures-finetune"),
        ("finetune", "~/my photos (2024)/", "my-photos-2024-finetune"),
        ("finetune", "sets/birds.npz", "birds-finetune"),
        ("finetune", "emnist(split='letters')", "emnist-finetune"),
        ("finetune", "./Vögel", "Vögel-finetune"),
        ("finetune", "x" * 300, "x" * 32 + "-finetune"),
        ("finetune", "/", "data-finetune"),
        ("cifar10-fast", "data/cifar10", "cifar10-fast"),
        ("mnist-cnn", "/data/MNIST", "mnist-cnn"),
        ("mine", "/home/ada/birds", "mine"),
        ("custom", "/home/ada/birds", "birds-custom"),
    ],
)
def test_a_run_is_named_after_its_data_and_its_recipe(tmp_path, name, source, expected):
    recipe = (find(name) if name in recipes else Recipe(name=name)).override({"data.source": source})
    assert run_name(recipe) == expected
    assert [Run.create(tmp_path, recipe).name for _ in range(2)] == [f"{expected}-1", f"{expected}-2"]
    assert Run.create(tmp_path, recipe, "given").name == "given"


# Tables.


@pytest.mark.parametrize("width", [10, *WIDTHS])
def test_no_line_of_text_is_wider_than_the_terminal_and_nothing_is_lost(capsys, terminal, width):
    terminal(width)
    say("a label", "some words about it, " * 6, "and a note of several words")
    say_table(["name", *(f"column {i}" for i in range(9))], [["a row", *(f"value{i}" for i in range(9))]] * 2)
    shown = capsys.readouterr().out
    lines = plain(shown)
    longest = max(map(len, re.split(r"\s{2,}|\n", shown)))
    assert max(map(cell_len, lines)) <= max(width, 30 if width == 10 else longest)
    words = " ".join(lines).split()
    assert words.count("about") == 6 and "several" in words and words.count("value8") == 2


def test_a_path_is_never_broken(capsys, terminal):
    terminal(40)
    path = "/a/long/path/of/many/parts/that/does/not/fit/report.html"
    say("report", path)
    assert path in capsys.readouterr().out


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("epochs, steps", [(40, 800), (0.3, 1), (2.5, 2), (10000, 30000)])
def test_the_line_of_progress_fits_and_ends_at_the_epochs_asked_for(terminal, width, epochs, steps):
    terminal(width)
    display = Display(epochs, silent=False)
    display._accuracies = [0.1, 0.5, 0.9, 0.96] * 5
    for step in {1, steps // 2, steps}:
        left = 0 if step == steps else 5000.0
        line = display._line(Progress(step, steps, step / 20, 2.25, 4000.0, left)).plain
        assert cell_len(line) <= width and line.endswith(" left")
        if step == steps:
            assert line.startswith(f"epoch {epochs:g}/{epochs:g} ")


def test_one_is_singular(cli, tmp_path):
    assert [plural(n, "epoch") for n in (1, 1.0, 0, 0.3, 1293)] == [
        "1 epoch", "1 epoch", "0 epochs", "0.3 epochs", "1,293 epochs"]  # fmt: skip
    assert plural(2, "class") == "2 classes" and plural(1, "class") == "1 class"
    words = ("model=cnn2(width=2)", "epochs=1", "data.limit=20", "batch_size=20", "--device", "cpu", "--out", tmp_path)
    out = cli("train", *words).out
    assert "1 epoch of 1 step\n" in out and "epoch 1/1 " in out
    run = tmp_path / "digits-cnn-1"
    assert "has trained 1 epoch: set train.epochs" in cli("train", "--continue", run, "epochs=1").err
    assert f"{run}, 1 epoch  " in cli("train", "--continue", run, "epochs=2", "--out", tmp_path).out


# Pictures.


@pytest.fixture(scope="module")
def digits_folder(tmp_path_factory) -> Path:
    """Ten digits as files, and beside them what cannot be read, and what is no picture."""
    root = tmp_path_factory.mktemp("pictures")
    for i in range(10):
        Image.fromarray((load_digits().images[i] * 255 / 16).round().astype(np.uint8)).save(root / f"{i}.png")
    whole = (root / "3.png").read_bytes()
    (root / "30.png").write_bytes(whole[: len(whole) // 2])
    (root / "31.png").write_bytes(b"<html>404</html>")
    (root / "32.jpg").touch()
    (root / "33.png").symlink_to("nowhere.png")
    (root / "notes.txt").touch()
    return root


BROKEN = ("30.png", "31.png", "32.jpg", "33.png")


def test_broken_pictures_are_named_and_the_others_answered(cli, trained, digits_folder):
    done = cli("predict", trained, digits_folder, "--json")
    whole = [digits_folder / f"{i}.png" for i in range(10)]
    found = json.loads(done.out)
    assert done.code == 2 and [each for each in found if "top" in each] == json.loads(
        cli("predict", trained, *whole, "--json").out
    )
    bad = {each["picture"]: each["error"] for each in found if "error" in each}
    assert {*bad} == {str(digits_folder / name) for name in BROKEN} and bad[
        str(digits_folder / "30.png")
    ] == "truncated"
    assert all(f"{digits_folder / name}: " in done.err for name in BROKEN)
    assert "4 of 14 pictures cannot be read" in done.err and "--bad-images skip" in done.err and "1 .txt" in done.err
    for form, lines in (("--csv", 11), ("--top=1", 10)):
        shown = cli("predict", trained, digits_folder, form)
        assert shown.code == 2 and len(shown.out.splitlines()) == lines


def test_skipped_they_are_a_warning(cli, trained, digits_folder):
    done = cli("predict", trained, digits_folder, "--bad-images", "skip", "--csv")
    assert done.code == 0 and len(done.out.splitlines()) == 11
    assert all(f"warning: left out {digits_folder / name}: " in done.err for name in BROKEN)


def test_where_all_are_broken_none_is_answered(cli, trained, digits_folder):
    two = (digits_folder / "30.png", digits_folder / "31.png")
    for form, out in (("--csv", "picture\n"), ("--top=1", "")):
        done = cli("predict", trained, *two, form)
        assert done.code == 2 and done.out == out and "2 of 2 pictures" in done.err
    assert json.loads(cli("predict", trained, *two, "--json", "--bad-images", "skip").out) == []
    done = cli("predict", trained, *two, "--json", "--csv")
    assert done.code == 2 and "--json and --csv: choose one" in done.err


def test_in_python_each_picture_has_its_answer_or_its_error(trained, digits_folder):
    run = thirtytwo.open_run(trained, device="cpu")
    files = [digits_folder / name for name in ("3.png", "30.png", "4.png", "31.png")]
    found = list(run.predict_each(iter(files)))
    assert [isinstance(each, BadPicture) for each in found] == [False, True, False, True]
    assert [each.name for each in found] == [*map(str, files)]
    assert [found[0], found[2]] == run.predict([files[0], files[2]])
    with pytest.raises(UserError, match=r"30\.png: "):
        run.predict(files)
    assert run.predict([]) == [] and run.predict_proba([]).shape == (0, 10)


def test_more_pictures_than_a_block_keep_their_order(trained):
    images = torch.from_numpy((load_digits().images[:700] * 255 / 16).round().astype(np.uint8))
    run = thirtytwo.open_run(trained, device="cpu")
    together = run.predict_proba(images)
    assert np.allclose(together[[0, 255, 256, 511, 699]], run.predict_proba(images[[0, 255, 256, 511, 699]]), atol=1e-3)
    assert [each.classes[0] for each in run.predict(images)] == [run.classes[k] for k in together.argmax(1)]


@pytest.mark.parametrize("width", WIDTHS)
def test_answers_fit_the_terminal_and_no_name_is_cut(cli, trained, digits_folder, terminal, width, monkeypatch):
    monkeypatch.chdir(digits_folder.parent)
    terminal(width)
    lines = plain(cli("predict", trained, digits_folder.name, "--top", 5, "--bad-images", "skip").out)
    assert max(map(cell_len, lines)) <= width
    assert sum(f"{digits_folder.name}/" in line for line in lines) == 10 and " ".join(lines).count("%") == 50


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names that are any bytes")
def test_a_name_that_is_not_utf8_is_written_so_that_it_can_be_found(cli, trained, digits_folder, tmp_path):
    for i, name in enumerate((b"caf\xe9.png", b"caf\xc3\xa9.png")):
        shutil.copy(digits_folder / f"{i}.png", tmp_path / os.fsdecode(name))
    table = cli("predict", trained, tmp_path, "--csv").out
    assert {Path(row[0]).name for row in csv.reader(table.splitlines()[1:])} == {"caf\\xe9.png", "café.png"}


# Dark and light.


def test_inverted_pictures_are_noted_and_invert_answers_as_if_they_were_not(
    cli, trained, digits_folder, tmp_path, caplog
):
    for i in range(10):
        with Image.open(digits_folder / f"{i}.png") as picture:
            Image.fromarray(255 - np.asarray(picture)).save(tmp_path / f"{i}.png")
    assert cli("predict", trained, tmp_path).code == 0
    assert "--invert" in caplog.text and "that of the training 0.31" in caplog.text
    caplog.clear()
    inverted = cli("predict", trained, tmp_path, "--invert", "--csv")
    whole = cli("predict", trained, *(digits_folder / f"{i}.png" for i in range(10)), "--csv")
    assert not caplog.text and whole.code == 0
    assert [line.partition(",")[2] for line in inverted.out.splitlines()] == [
        line.partition(",")[2] for line in whole.out.splitlines()
    ]
    assert cli("predict", trained, digits_folder / "3.png", "--invert").code == 0 and "leave --invert" in caplog.text


def test_in_python_too_with_bars_that_stay_black(trained, caplog):
    run = thirtytwo.open_run(trained, device="cpu")
    digits = (load_digits().images[:40] * 255 / 16).round().astype(np.uint8)
    narrow = digits[:, :, 1:7]
    assert np.array_equal(run.predict_proba(255 - narrow, invert=True), run.predict_proba(narrow)) and not caplog.text
    assert run.predict(255 - digits[3], invert=True)[0].classes == run.predict(digits[3])[0].classes
    run.predict_proba(255 - digits[3])
    assert "--invert" in caplog.text
    before = run.explain("val:712").said
    assert run.explain(["val:712"], invert=True).said != before


@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_pictures_like_those_of_the_training_are_never_noted(trained, count):
    card, digits = Run.open(trained).card, load_digits()
    means = (digits.images.mean((1, 2)) / 16)[:, None]
    draw = np.random.default_rng(0)
    for k in range(200):
        rows = np.flatnonzero(digits.target == k % 10) if k % 2 else np.arange(len(means))
        chosen = means[draw.choice(rows, count)]
        assert unlike_training(card, chosen, inverted=False) is None
        assert "--invert" in unlike_training(card, 1 - chosen, inverted=False)
    assert unlike_training(card, np.zeros((0, 1)), inverted=False) is None
    assert unlike_training({k: v for k, v in card.items() if k != "pictures"}, 1 - means, inverted=False) is None


def test_real_photographs_are_never_noted(shared_data):
    """Their brightness varies so much that inverted ones cannot be told: nothing is said then."""
    file = next((shared_data / "cifar10-jpeg" / "plain_text").glob("test*.parquet"))
    rows = pyarrow.parquet.read_table(file).slice(0, 3000)
    images = [decode(row["bytes"], channels=3) for row in rows.column(0).to_pylist()]
    means, labels = np.stack(images).mean((2, 3)) / 255, np.array(rows.column(1).to_pylist())
    pictures = {"mean": means[:2000].mean(0).tolist(), "spread": means[:2000].std(0).tolist()}
    groups = [*np.split(means, len(means)), *(means[labels == k][:n] for k in range(10) for n in (5, 50, 500))]
    assert not any(unlike_training({"pictures": pictures}, group, inverted=False) for group in groups)


# Data.


@pytest.mark.parametrize("val, test", [(0.1, 0.2), (100, 0.5), (0.3, 50)])
def test_what_a_training_would_get_is_counted_as_it_is_cut(val, test):
    digits = load("digits")
    part = digits.train.select(torch.arange(600))
    for official in (digits, Official("two", digits.train, test=part), Official("three", digits.train, part, part)):
        cut = make_splits(official, val=val, test=test).record["sizes"]
        assert sizes(official, val=val, test=test) == cut


def test_info_shows_the_sources_splits_and_those_of_a_training(cli, tmp_path):
    out = cli("data", "info", "digits").out
    assert "1,797 images" in out and "train 1,293 · val 144 · test 360" in out
    assert json.loads(cli("data", "info", "digits", "--json").out)["training"] == {
        "train": 1293,
        "val": 144,
        "test": 360,
    }
    np.savez(tmp_path / "few.npz", x_train=np.zeros((3, 8, 8), np.uint8), y_train=np.array([0, 0, 1]))
    few = cli("data", "info", tmp_path / "few.npz")
    assert few.code == 0 and "is refused: test of 1 out of 3 images leaves class" in few.out


def test_a_thousand_classes_fit_the_terminal_and_a_pipe_has_them_all(cli, terminal, tmp_path):
    names = [f"class_{k:03d}" for k in range(1000)]
    np.savez(tmp_path / "many.npz", x_train=np.zeros((3000, 4, 4), np.uint8), y_train=np.arange(3000) % 1000,
             classes=np.array(names))  # fmt: skip
    piped = cli("data", "info", tmp_path / "many.npz").out
    assert "1,000 classes" in piped
    (listed,) = [line for line in piped.splitlines() if line.startswith("classes")]
    count = len(listed.split(", "))
    terminal(80)
    lines = plain(cli("data", "info", tmp_path / "many.npz").out)
    assert count == 1000 and "980 more" in " ".join(lines) and max(map(cell_len, lines)) <= 80 and len(lines) < 30


@pytest.mark.parametrize("recipe, size", [("finetune", "128x128"), ("digits-cnn", "8x8"), ("flip", "8x8")])
def test_the_sheet_is_drawn_at_the_recipes_size(cli, tmp_path, recipe, size):
    digits = load_digits()
    np.savez(tmp_path / "few.npz", x_train=digits.images[:100].astype(np.uint8) * 15, y_train=digits.target[:100])
    done = cli("data", "show", tmp_path / "few.npz", "--augment", recipe, "--out", tmp_path / "sheet.png")
    assert done.code == 0 and f"images {size}" in done.out and (tmp_path / "sheet.png").is_file()


@pytest.mark.parametrize(
    "line, expected",
    [
        ("seeds = 3", "'seeds': expected a list, such as [0, 1, 2], not 3"),
        ("seeds = []", "'seeds': expected at least 1, not 0"),
        ("seeds = [1.5]", "'seeds.0': expected a whole number, not 1.5"),
        ("set = 3", "'set': expected a table of keys, not 3"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_in_the_words_of_toml(cli, tmp_path, line, expected):
    (tmp_path / "s.toml").write_text(f'base = "digits-cnn"\n{line}\n[arms.a]\n[arms.b]\nlr = 1\n')
    done = cli("study", "show", tmp_path / "s.toml")
    assert done.code == 2 and expected in done.err and done.err.count("\n") == 1
