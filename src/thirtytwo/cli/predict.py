"""``thirtytwo predict``."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thirtytwo.cli.app import BadImages, DeviceName, Import, Invert, Json, Moved, RunPath, app
from thirtytwo.errors import UserError
from thirtytwo.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thirtytwo.api.trained import Answer
    from thirtytwo.data.picture import BadPicture


@app.command()
def predict(
    run: RunPath,
    pictures: Annotated[
        list[str],
        typer.Argument(help="Pictures, folders, patterns such as 'new/*.png', or val:12, which reports call val #12."),
    ],
    top: Annotated[int, typer.Option("--top", min=1, help="How many classes to show.")] = 3,
    invert: Invert = False,
    bad_images: BadImages = None,
    data: Moved = None,
    device: DeviceName = "auto",
    imports: Import = [],  # noqa: B006
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values instead.")] = False,
) -> int:
    """Say what is in a picture: the most probable classes, with their probabilities.

    Exits with 2 when a picture cannot be read; the others are answered, and --json has an "error" in its place. With
    --bad-images skip it is a warning.
    """
    from thirtytwo.cli.console import errors, one_line, say_json

    if as_json and as_csv:
        raise UserError("--json and --csv: choose one of them")
    files = find_pictures(pictures)

    from thirtytwo.api.trained import Answer
    from thirtytwo.api.verbs import open_run
    from thirtytwo.data.waiting import counted

    trained = open_run(run, device=device, data=data)
    found = list(counted(trained.predict_each(files, top=top, invert=invert), len(files), "predicting"))
    if as_json:
        say_json([_entry(each) for each in found if isinstance(each, Answer) or bad_images != "skip"])
    else:
        _say([each for each in found if isinstance(each, Answer)], as_csv=as_csv)
    bad = [each for each in found if not isinstance(each, Answer)]
    if not bad:
        return 0
    if len(bad) == 1 and bad_images != "skip":
        raise UserError(f"{bad[0]}: repair it, or leave it out with --bad-images skip")
    skipped = bad_images == "skip"
    for each in bad:
        errors.print(f"{'warning: left out ' if skipped else ''}{one_line(str(each))}")
    if skipped:
        return 0
    raise UserError(
        f"{len(bad):,} of {plural(len(found), 'picture')} cannot be read: repair them, or leave them out "
        "with --bad-images skip"
    )


def _entry(found: "Answer | BadPicture") -> dict[str, object]:
    if isinstance(found, UserError):
        return {"picture": found.name, "error": found.reason}
    return {"picture": found.name, "top": dict(zip(found.classes, found.probabilities, strict=True))}


def _say(answers: "list[Answer]", *, as_csv: bool) -> None:
    if as_csv:
        import csv
        import sys

        writer = csv.writer(sys.stdout, lineterminator="\n")
        ranks = range(1, max((len(each.classes) for each in answers), default=0) + 1)
        writer.writerow(["picture", *(column for rank in ranks for column in (f"class_{rank}", f"probability_{rank}"))])
        for each in answers:
            pairs = zip(each.classes, each.probabilities, strict=True)
            writer.writerow([each.name, *(cell for name, share in pairs for cell in (name, f"{share:.6f}"))])
    else:
        from thirtytwo.cli.console import say_table
        from thirtytwo.evaluation.estimate import quantity

        rows = []
        for each in answers:
            pairs = zip(each.classes, each.probabilities, strict=True)
            rows.append([each.name, *(f"{name}  {quantity(share):>7}" for name, share in pairs)])
        if rows:
            say_table([""] * len(rows[0]), rows)


def find_pictures(words: list[str]) -> list[str | Path]:
    """The files that paths, folders and patterns name, sorted within each, without duplicates; ``val:12`` as it is.

    A named file is taken as it is. A folder stands for every picture in it, at any depth, and what else it holds is
    counted in a warning; a pattern stands for the pictures and folders that it matches. Raises UserError for a word
    that names nothing.
    """
    from glob import glob

    from thirtytwo.paths import NUMBERED, as_path

    found: list[str | Path] = []
    for word in words:
        path = as_path(word)
        if path.is_file() or NUMBERED.fullmatch(word):
            found.append(path if path.is_file() else word)
            continue
        matches = [path] if path.is_dir() else sorted(map(Path, glob(str(path), recursive=True)))  # noqa: PTH207  (Path.glob takes no absolute pattern)
        if not matches:
            raise UserError(f"{word}: no such picture")
        pictures = [picture for match in matches for picture in _inside(match)]
        if not pictures:
            raise UserError(f"{word}: {'holds' if path.is_dir() else 'matches'} no pictures")
        found += pictures
    return list(dict.fromkeys(found))


def _inside(path: Path) -> "Iterator[Path]":
    """The pictures in a folder, links to nowhere among them, or ``path`` itself if it is one."""
    from thirtytwo.cli.console import errors, one_line
    from thirtytwo.data.formats import is_picture

    others: Counter[str] = Counter()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if not file.is_file() and (file.exists() or not file.is_symlink()):
            continue
        if is_picture(file):
            yield file
        elif not file.name.startswith("."):
            others[file.suffix.lower() or "without suffix"] += 1
    if path.is_dir() and others:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in others.most_common())
        errors.print(f"warning: {one_line(str(path))}: left out what is no picture by its name: {one_line(kinds)}")
