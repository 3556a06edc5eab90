"""The report of real run folders: what it says is what the predictions say, and nothing in it can run or fetch."""

import csv
import os
import re
import shlex
from base64 import b64encode
from collections.abc import Callable
from contextlib import nullcontext
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import thirtytwo
from thirtytwo.evaluation import metrics
from thirtytwo.evaluation.estimate import Estimate, wilson
from thirtytwo.evaluation.metrics import Accuracy
from thirtytwo.evaluation.per_class import per_class
from thirtytwo.evaluation.predictions import Predictions
from thirtytwo.explain.explanation import Layer, LayerMaps
from thirtytwo.figures import canvas, pictures, scores
from thirtytwo.paths import readable
from thirtytwo.recipe import Data, Recipe, Train
from thirtytwo.report import html
from thirtytwo.report.view import view
from thirtytwo.runs.run import Run

DIGITS = tuple("0123456789")
VOID = {"meta", "link", "img", "br", "hr", "input", "path", "rect", "use", "image"}


class Page(HTMLParser):
    """The tags, the tables (as rows of text) and the text of a page; fails on a tag that is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if {"td", "th"} & set(self._open):
            self.tables[-1][-1][-1] += data

    def table(self, *first: str) -> list[list[str]]:
        """The rows below the heading of the table whose headings begin with ``first``, blanks joined."""
        found = [[[" ".join(cell.split()) for cell in row] for row in t] for t in self.tables]
        return next((t[1:] for t in found if tuple(t[0][: len(first)]) == first), [])

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def scored() -> tuple[np.ndarray, Predictions, Predictions, Predictions]:
    """The digits' pictures; what a regression says of test, of test with 2 views, and of val."""
    digits = load_digits()
    images = np.minimum(digits.images * 16, 255).astype(np.uint8)[:, None]
    pixels, labels = digits.data / 16, digits.target.astype(np.int64)
    model = LogisticRegression(C=0.05, max_iter=500).fit(pixels[:400], labels[:400])

    def said(start: int, stop: int, split: str, shift: int = 0) -> Predictions:
        rows = np.arange(start, stop)
        seen = np.roll(images[rows], shift, axis=3).reshape(len(rows), -1) / 256
        return Predictions(model.decision_function(seen).astype(np.float32), labels[rows], DIGITS, rows, split)

    test, shifted = said(1437, 1797, "test"), said(1437, 1797, "test", shift=1)
    views = Predictions((3 * test.logits + shifted.logits) / 4, test.labels, DIGITS, test.ids, "test", views=2)
    return images, test, views, said(1293, 1437, "val")


Maker = Callable[..., Run]


def counts(size: int, classes: int) -> list[int]:
    """Images per class, the last class with the remainder."""
    return [size // classes] * (classes - 1) + [size - size // classes * (classes - 1)]


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    """A run folder as the training leaves it, written by `Run` itself."""

    def make_run(
        classes: tuple[str, ...],
        images: np.ndarray,
        *scorings: tuple[Predictions, Predictions | None],
        recipe: Recipe | None = None,
        state: str = "finished",
        looks: int = 1,
    ) -> Run:
        recipe = recipe or Recipe(name="digits-cnn")
        run = Run.create(tmp_path, recipe)
        run.write_env({"thirtytwo": "0.1.0", "torch": "2.15.0", "device": "cpu", "precision": "bf16", "threads": 1})
        ids = {"train": [*range(1293)], "val": [*range(144)], "test": [*range(360)]}
        ids |= {plain.split: plain.ids.tolist() for plain, _ in scorings}
        sizes = {split: len(numbers) for split, numbers in ids.items()}
        record = {
            "name": "digits",
            "classes": list(classes),
            "plan": recipe.data.plan,
            "split_seed": 0,
            "sizes": sizes,
            "class_counts": {name: counts(size, len(classes)) for name, size in sizes.items()},
            "sha256": {"train": "a1" * 32, "val": "b2" * 32, "test": "c3" * 32},
            "ids": ids,
            "notes": ["<b>3</b> pictures were resized"],
        }
        run.write_split(record)
        for epoch in (1, 2, 3):
            progress = {"train_loss": 2 / epoch, "train_accuracy": 1 - 0.5 / epoch, "lr": 0.1 / epoch}
            validation = {"val_loss": 1.5 / epoch, "val_accuracy": 1 - 0.25 / epoch, "seconds": 1.0 * epoch}
            run.log({"step": 21 * epoch, "epoch": float(epoch), **progress, **validation})
        if state == "finished":
            card = {"model": "cnn2", "channels": images.shape[1], "size": list(images.shape[2:]), "fit": "pad"}
            card |= {"mean": [0.5] * images.shape[1], "std": [0.2] * images.shape[1]}
            run.write_model(b"weights", {**card, "classes": list(classes), "parameters": 12810})
        for plain, views in scorings:
            run.write_predictions(plain, views)
            wrong, right = np.flatnonzero(~plain.correct)[:36], np.flatnonzero(plain.correct)[:36]
            shown = plain.ids[np.concatenate([wrong, right])]
            run.write_pictures(plain.split, images[shown], shown)
            for look in range(looks if plain.split == "test" else 0):
                accuracies = {p.views: float(p.correct.mean()) for p in (plain, views) if p is not None}
                run.record_look("test" if look else "train", len(plain), accuracies)
        run.set_status(state, step=63, steps=63 if state == "finished" else 840, seconds=75.0)
        return run

    return make_run


def page_of(run: Run) -> Page:
    """The written page, after the checks that hold for every report."""
    text = html.write(run).read_text(encoding="utf-8")
    assert len(text) < 3_000_000
    page = Page(text)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    allowed = "".join(f" 'sha256-{b64encode(sha256(each.encode()).digest()).decode()}'" for each in scripts)
    assert len(scripts) == 1 and f'script-src{allowed}"' in text and "default-src 'none'" in text
    for tag, attributes in page.tags:
        assert tag not in ("iframe", "object", "link", "base", "form")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href"):
                assert re.match(r"#|data:image/(png|webp);base64,", value or "")
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg":
            assert attributes["role"] == "img" and attributes["aria-label"]
    assert not re.search(r"url\((?!#)|@import", text)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    links = {str(a["href"]).removeprefix("#") for a in page.attributes("a")}
    assert links <= set(ids)
    for path in (run.path / "figures").iterdir():
        with Image.open(path) as image:
            image.load()
            assert image.format == "PNG"
            assert min(image.size) > 80
    return page


def shown(estimate: Estimate) -> str:
    return f"{estimate.quantity()} {estimate.interval()}".strip()


def test_every_score_in_the_page_is_that_of_the_predictions(make: Maker, scored: tuple) -> None:
    images, test, views, val = scored
    run = make(DIGITS, images, (test, views), (val, None))
    page = page_of(run)
    expected = [metrics.scores(p) for p in (test, views, val)]
    rows = {row[0]: row[1:4] for row in page.table("Score")}
    for key, name in (
        ("accuracy", "Accuracy Wilson"),
        ("top5", "Top-5 accuracy Wilson"),
        ("macro_f1", "Macro F1 bootstrap, percentile"),
    ):
        assert rows[name] == [shown(scores[key]) for scores in expected]
    assert rows["Calibration error, 15 bins bootstrap, basic"] == [shown(scores["ece"]) for scores in expected]
    nll = [scores["nll"] for scores in expected]
    assert rows["Negative log-likelihood, nats normal"] == [f"{e.value:.4f} [{e.low:.4f}, {e.high:.4f}]" for e in nll]

    right = int(test.correct.sum())
    text = " ".join(page.text.split())
    assert f"{100 * right / 360:.1f} % test accuracy" in text
    assert f"{right} of 360 images right" in text
    assert page.table("Class") == [
        [c.name, f"{c.support}", *map(shown, (c.recall, c.precision, c.f1))] for c in per_class(test)
    ]
    given = [counts(size, 10) for size in run.split["sizes"].values()]
    assert page.table("Class", "train") == [
        [name, *(f"{n}" for n in row)] for name, *row in zip(DIGITS, *given, strict=True)
    ]
    matrix = metrics.confusion(test)
    for truth, predicted, count, share in page.table("Truth"):
        row, column = int(truth), int(predicted)
        assert int(count) == matrix[row, column] and row != column
        assert share == shown(wilson(int(count), int(matrix[row].sum())))
    assert page.table("Split") == [
        ["train", "1,293", "129 to 132", "a1" * 32],
        ["val", "144", "14 to 18", "b2" * 32],
        ["test", "360", "36", "c3" * 32],
    ]
    assert [row[1:4] for row in page.table("Time")] == [["train", "360", "2"]]
    assert run.recipe.to_toml().strip() in page.text


def test_pictures_are_the_confident_mistakes_with_their_own_probabilities(make: Maker, scored: tuple) -> None:
    images, test, _, _ = scored
    close = view(make(DIGITS, images, (test, None))).closeup
    assert close is not None
    said = [picture.probability for picture in close.wrong]
    assert said == sorted(said, reverse=True)
    for picture in close.wrong + close.right:
        row = picture.id - 1437
        assert (picture.image == images[picture.id]).all()
        assert picture.truth == DIGITS[test.labels[row]]
        assert picture.predicted == DIGITS[test.predicted[row]]
        assert picture.probability == test.probabilities[row].max()
        assert picture.truth_probability == test.probabilities[row, test.labels[row]]
    assert all(picture.truth != picture.predicted for picture in close.wrong)


def test_a_report_is_the_same_each_time_and_leaves_no_figure_of_an_earlier_one(make: Maker, scored: tuple) -> None:
    images, test, _, _ = scored
    run = make(DIGITS, images, (test, None))
    first = html.write(run).read_bytes()
    (run.path / "figures" / "old.png").write_bytes(b"")
    assert html.write(run).read_bytes() == first
    drawn = {path.stem for path in (run.path / "figures").iterdir()}
    curves = {"loss", "accuracy", "learning-rate"}
    assert drawn == curves | {"classes", "confusion", "reliability", "predictions", "wrong", "right", "class-counts"}


def test_looks_and_plans_that_spoil_a_figure_are_said(make: Maker, scored: tuple) -> None:
    images, test, _, val = scored
    recipe = Recipe(data=Data(plan="val-from-test"), train=Train(patience=3))
    text = page_of(make(DIGITS, images, (test, None), (val, None), recipe=recipe, looks=3)).text
    assert "looked at 3 times" in text
    assert "cut from the official test split" in text
    assert "Val decided when to stop" in text
    assert text.count("nothing about the spread over seeds") == 1
    usual = page_of(make(DIGITS, images, (test, None), (val, None))).text
    assert "Test looked at once, after the last step." in usual
    assert "official test split" not in usual


def test_a_run_without_test_shows_val_and_says_so(make: Maker, scored: tuple) -> None:
    images, _, _, val = scored
    page = page_of(make(DIGITS, images, (val, None)))
    assert "The test split has not been scored" in page.text
    assert "Test not looked at." in page.text
    assert Accuracy()(val).quantity() in " ".join(page.text.split())
    assert page.table("Score")[0][1] == shown(Accuracy()(val))


@pytest.mark.parametrize(
    ("state", "busy", "word"),
    [
        ("running", True, "is still training"),
        ("running", False, "was stopped"),
        ("interrupted", False, "was interrupted"),
        ("failed", False, "failed"),
    ],
)
def test_an_unfinished_run_shows_how_far_it_came(make: Maker, scored: tuple, state: str, busy: bool, word: str) -> None:
    run = make(DIGITS, scored[0], state=state)
    with Run(run.path).owned() if busy else nullcontext():
        page = page_of(run)
    assert word in page.text and "step 63 of 840" in page.text
    assert ("train --resume RUN" in page.text) == word.startswith("was")
    latest = wilson(round((1 - 0.25 / 3) * 144), 144)
    assert latest.quantity() in " ".join(page.text.split()) and latest.interval() in page.text
    assert len(page.attributes("svg")) == 4


def test_a_trained_run_that_was_never_scored_says_how_to_score_it(make: Maker, scored: tuple) -> None:
    text = page_of(make(DIGITS, scored[0], state="trained")).text
    assert "was trained to its end, but not all of it is scored" in text and "thirtytwo train --resume RUN" in text


def test_the_command_trains_the_same_bits_from_any_directory(cli, folder_run, tmp_path, monkeypatch) -> None:
    command = view(folder_run).command
    assert command in Page((folder_run.path / "report.html").read_text(encoding="utf-8")).text
    monkeypatch.chdir(folder_run.path)
    assert cli(*shlex.split(command)[1:], "--no-test", "--device", "cpu", "--out", tmp_path).code == 0
    assert Run.open(next(tmp_path.iterdir())).read_weights() == folder_run.read_weights()


def test_what_no_command_trains_again_has_none(make: Maker, scored: tuple) -> None:
    run = make(DIGITS, scored[0], recipe=Recipe(name="mine", model="own:Net"))
    assert view(run).command == "" and "that program trains it again" in page_of(run).text


def test_a_run_that_has_only_a_recipe_has_a_report(tmp_path: Path) -> None:
    page = page_of(Run.create(tmp_path, Recipe(name="new")))
    assert "has not begun to train" in page.text


def test_names_from_a_users_folders_are_text_and_nothing_else(make: Maker) -> None:
    names = (
        "<script>alert(1)</script>",
        '" onload="alert(2)',
        "$\\frac{1}{$ & {{ 7*7 }}",
        "猫 кот\n\x07",
        "x" * 300,
    )
    draw = np.random.default_rng(0)
    labels = draw.integers(5, size=60)
    logits = np.eye(5)[labels] + draw.normal(size=(60, 5)) * 0.6
    said = Predictions(logits.astype(np.float32), labels, names, np.arange(60), "test")
    run = make(names, draw.integers(256, size=(60, 3, 9, 5), dtype=np.uint8), (said, None))
    page = page_of(run)
    assert "<script>alert" not in (run.path / "report.html").read_text(encoding="utf-8")
    assert "{{ 7*7 }}" in page.text and "<b>3</b> pictures" in page.text
    assert [row[0] for row in page.table("Class")] == [" ".join(name.split()) for name in names]


@pytest.mark.parametrize(("k", "channels", "side"), [(2, 3, 96), (100, 1, 8), (200, 3, 32)])
def test_few_and_many_classes_and_any_picture(make: Maker, k: int, channels: int, side: int) -> None:
    draw = np.random.default_rng(k)
    labels = draw.integers(k - k // 100, size=400)
    logits = 4 * np.eye(k)[labels] + draw.normal(size=(400, k)) * 1.5
    names = tuple(f"class {i}" for i in range(k))
    said = Predictions(logits.astype(np.float32), labels, names, np.arange(400), "test")
    images = draw.integers(256, size=(400, channels, side, side), dtype=np.uint8)
    page = page_of(make(names, images, (said, None)))
    assert len(page.table("Class")) == len(page.table("Class", "train")) == k
    assert ("Top-5 accuracy" in page.text) == (k > 5)
    assert {(a["width"], a["height"]) for a in page.attributes("img")} == {(str(side), str(side))}


def test_what_the_network_saw_is_drawn_from_the_run_alone(make: Maker, scored: tuple) -> None:
    images, _, _, val = scored
    run = make(DIGITS, images, (val, None))
    assert not page_of(run).tags.count(("h2", {"id": "network"}))
    constant = Layer("<b>0</b>", "Conv2d", (4, 5, 5), np.arange(4), np.ones((4, 5, 5), np.float32))
    id_ = int(val.ids[0])
    run.write_explanation(LayerMaps(images[id_], np.ones((3, 1, 3, 3), np.float32), (constant,)), id_)
    page = page_of(run)
    assert page.tags.count(("h2", {"id": "network"})) == 1
    labels = [str(svg["aria-label"]) for svg in page.attributes("svg")]
    assert any(f"val #{id_}: {DIGITS[val.labels[0]]}, called {DIGITS[val.predicted[0]]}" in label for label in labels)
    assert any("3 filters, 1 x 3 x 3" in label for label in labels)


def test_nothing_wrong_is_said_with_what_could_be(make: Maker, scored: tuple) -> None:
    images, test, _, _ = scored
    sure = Predictions(np.eye(10, dtype=np.float32)[test.labels] * 9, test.labels, DIGITS, test.ids, "test")
    text = " ".join(page_of(make(DIGITS, images, (sure, None))).text.split())
    assert "Nothing in test. On other images, up to 1.1 % could be." in text
    assert "No image of test was called a wrong class." in text


def test_an_inline_figure_follows_the_pages_colours(scored: tuple) -> None:
    text = canvas.svg(scores.confusion(metrics.confusion(scored[1]), DIGITS), 'a "matrix"')
    assert 'aria-label="a &quot;matrix&quot;"' in text
    assert "var(--ink)" in text and canvas.INK not in text
    assert "http" not in text.replace('xmlns:xlink="http://www.w3.org/1999/xlink"', "")


def test_labels_of_long_names_differ_and_fit() -> None:
    coats = ("tabby coat", "tortoiseshell coat", "black and white tuxedo coat")
    ages = ("female, neutered", "female, intact", "male, neutered", "kitten under 12 weeks")
    names = [f"Felis silvestris catus, domestic shorthair, {coat}, {age}" for coat in coats for age in ages]
    for each in (names, ["x" * 250, "x" * 249 + "y", "z"], ["a\x07" * 30, "a\x08" * 30], ["a" * 40 + b for b in "bc"]):
        for width in (14, 18, 26):
            labels = canvas.labels(each, width)
            assert len({*labels}) == len(each) and max(map(len, labels)) <= width
    assert canvas.labels(["cat", "dog"]) == ["cat", "dog"] and canvas.labels([]) == []


@pytest.mark.parametrize(("count", "columns"), [(1, 8), (7, 3), (0, 4)])
def test_a_sample_grid_holds_any_number_of_pictures(tmp_path: Path, count: int, columns: int) -> None:
    images = np.full((count, 1, 4, 6), 128, dtype=np.uint8)
    figure = pictures.sample_grid(images, ["$one"] * count, columns)
    canvas.png(figure, tmp_path / "grid.png")
    assert len(figure.axes[0].images) == count
    with Image.open(tmp_path / "grid.png") as drawn:
        assert drawn.width > 50


@pytest.fixture(scope="module")
def digit_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of 400 digits, one with a folder in it, and one name in an encoding that is not UTF-8."""
    digits, root = load_digits(), tmp_path_factory.mktemp("pictures") / "my digits"
    for i, (image, label) in enumerate(zip(digits.images[:400], digits.target, strict=False)):
        folder = root / f"digit {label}" / ("more" if label == 3 else "")
        folder.mkdir(parents=True, exist_ok=True)
        name = os.fsdecode(b'"caf\xe9", 0.png') if i == 0 else f"{i}.png"
        Image.fromarray(np.minimum(image * 16, 255).astype(np.uint8)).save(folder / name)
    return root


@pytest.fixture(scope="module")
def folder_run(digit_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on `digit_folders`, which were named relative to the working directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(digit_folders.parent)
        settings = {"model": "cnn2(width=2)", "epochs": 1, "data__source": digit_folders.name}
        return thirtytwo.train("digits-cnn", **settings, device="cpu", out=tmp_path_factory.mktemp("runs")).run


def test_every_mistake_has_its_path_in_report_predictions_and_table(digit_folders: Path, folder_run: Run) -> None:
    run, page = folder_run, page_of(folder_run)
    known = {readable(str(path.relative_to(digit_folders))) for path in digit_folders.rglob("*.png")}
    for split in ("val", "test"):
        plain = run.predictions(split)[0]
        assert plain.paths and {*plain.paths} <= known and len({*plain.paths}) == len(plain)
        assert [path.split("/")[0] for path in plain.paths] == [plain.classes[k] for k in plain.labels]
        rows = [*csv.DictReader((run.path / "predictions" / f"{split}.csv").open(encoding="utf-8", newline=""))]
        assert [row["path"] for row in rows] == [*plain.paths]
        assert [row["right"] == "true" for row in rows] == plain.correct.tolist()
        assert [row["predicted"] for row in rows] == [plain.classes[k] for k in plain.predicted]
    wrong = [path for path, right in zip(plain.paths, plain.correct.tolist(), strict=True) if not right]
    assert len(wrong) > 36 and all(path in page.text for path in wrong) and f"Wrong: all {len(wrong)}" in page.text


@pytest.mark.parametrize("k", [2, 120])
def test_class_counts_show_every_split(tmp_path: Path, k: int) -> None:
    counts = {"train": list(range(k)), "val": [1] * k, "test": [0] * k}
    figure = pictures.class_counts(counts, [f"class {i}" for i in range(k)])
    bars = list(figure.axes[0].patches)
    sizes = sorted(bar.get_width() if k == 2 else bar.get_height() for bar in bars)
    assert sizes == sorted(n for split in counts.values() for n in split)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(counts)


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.21, "4.2 s"), (59.96, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert html.duration(seconds) == text
