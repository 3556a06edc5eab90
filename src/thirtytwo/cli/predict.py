"""``thirtytwo predict``."""

from pathlib import Path
from typing import Annotated

import typer

from thirtytwo.cli.app import DeviceName, Import, Json, Moved, RunPath, app
from thirtytwo.errors import UserError


@app.command()
def predict(
    run: RunPath,
    pictures: Annotated[
        list[str],
        typer.Argument(help="Pictures, folders, patterns such as 'new/*.png', or val:12, which reports call val #12."),
    ],
    top: Annotated[int, typer.Option("--top", min=1, help="How many classes to show.")] = 3,
    data: Moved = None,
    device: DeviceName = "auto",
    imports: Import = [],  # noqa: B006
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values instead.")] = False,
) -> None:
    """Say what is in a picture: the most probable classes, with their probabilities."""
    files = find_pictures(pictures)

    from thirtytwo.api.verbs import open_run

    answers = open_run(run, device=device, data=data).predict(files, top=top)
    if as_json:
        from thirtytwo.cli.console import say_json

        say_json(
            [
                {"picture": each.name, "top": dict(zip(each.classes, each.probabilities, strict=True))}
                for each in answers
            ]
        )
    elif as_csv:
        import csv
        import sys

        writer = csv.writer(sys.stdout, lineterminator="\n")
        ranks = range(1, len(answers[0].classes) + 1)
        writer.writerow(["picture", *(column for rank in ranks for column in (f"class_{rank}", f"probability_{rank}"))])
        for each in answers:
            pairs = zip(each.classes, each.probabilities, strict=True)
            writer.writerow([each.name, *(cell for name, share in pairs for cell in (name, f"{share:.6f}"))])
    else:
        from thirtytwo.cli.console import one_line, plain_table, show
        from thirtytwo.evaluation.estimate import quantity

        table = plain_table(header=False)
        for each in answers:
            pairs = zip(each.classes, each.probabilities, strict=True)
            table.add_row(one_line(each.name), *(f"{one_line(name)}  {quantity(share):>7}" for name, share in pairs))
        show(table)


def find_pictures(words: list[str]) -> list[str | Path]:
    """The files that paths, folders and patterns name, sorted within each, without duplicates; ``val:12`` as it is.

    A named file is taken as it is. A folder stands for every picture in it, at any depth; a pattern for the pictures
    and folders that it matches. Raises UserError for a word that names nothing.
    """
    from glob import glob

    from thirtytwo.data.picture import is_picture_name
    from thirtytwo.paths import NUMBERED, as_path

    def inside(path: Path) -> list[Path]:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        return [file for file in files if is_picture_name(file) and file.is_file()]

    found: list[str | Path] = []
    for word in words:
        path = as_path(word)
        if path.is_file() or NUMBERED.fullmatch(word):
            found.append(path if path.is_file() else word)
            continue
        matches = [path] if path.is_dir() else sorted(map(Path, glob(str(path), recursive=True)))  # noqa: PTH207  (Path.glob takes no absolute pattern)
        if not matches:
            raise UserError(f"{word}: no such picture")
        pictures = [picture for match in matches for picture in inside(match)]
        if not pictures:
            raise UserError(f"{word}: {'holds' if path.is_dir() else 'matches'} no pictures")
        found += pictures
    return list(dict.fromkeys(found))
