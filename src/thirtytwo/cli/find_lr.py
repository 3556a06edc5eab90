"""``thirtytwo find-lr``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thirtytwo.cli.app import DeviceName, Import, Json, Quiet, RecipeWords, app

if TYPE_CHECKING:
    from thirtytwo.range_test import RangeTest
    from thirtytwo.training.build import Parts


@app.command()
def find_lr(
    words: RecipeWords = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The PNG file to write.", show_default="find-lr-<recipe>.png, here")
    ] = None,
    low: Annotated[
        float | None, typer.Option("--low", help="The first optim.lr.", show_default="a thousandth of the recipe's")
    ] = None,
    high: Annotated[
        float | None, typer.Option("--high", help="The last optim.lr.", show_default="a thousand times the recipe's")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Training steps, each at a higher rate.")] = 100,
    device: DeviceName = "auto",
    imports: Import = [],  # noqa: B006
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Look for a learning rate: train a few steps at a growing rate, suggest one, draw the losses.

    Takes the arguments of `thirtytwo train`, and makes no run. Exits with 1 when no rate lowers the loss.
    """
    from thirtytwo.cli.train import wanted

    recipe = wanted(words or [])

    from thirtytwo.cli.console import errors, say, say_json
    from thirtytwo.display import Display
    from thirtytwo.range_test import ladder, range_test, require_free
    from thirtytwo.recipes import run_name
    from thirtytwo.training.session import prepare

    file = out or Path(f"find-lr-{run_name(recipe)}.png")
    require_free(file)
    rates = ladder(recipe, low, high, steps)
    silent = quiet or as_json
    try:
        parts = prepare(recipe, device)
        if not silent:
            _introduce(parts, rates)
        with Display(parts.feed.epoch(steps), silent=silent) as display:
            found = range_test(parts, rates, listener=display)
        found.save(file)
    except (KeyboardInterrupt, SystemExit):
        errors.print("interrupted: nothing was kept")
        raise
    command = _command(words or [], imports, found.overrides) if found.overrides else None
    if as_json:
        say_json(
            {
                "recipe": recipe.name,
                "overrides": found.overrides,
                "command": command,
                "lowest": None if found.lowest is None else found.centres[found.lowest],
                "steps": found.steps,
                "rates": found.rates,
                "losses": found.losses,
                "centres": found.centres,
                "smoothed": found.smoothed,
                "figure": str(file),
            }
        )
    else:
        _say_found(found, command, rates)
        say("drawn", str(file))
    return 0 if command else 1


def _introduce(parts: "Parts", rates: tuple[float, ...]) -> None:
    from thirtytwo.cli.console import say
    from thirtytwo.words import plural

    parameters = sum(parameter.numel() for parameter in parts.model.parameters())
    computed, steps = f"{parts.device.torch}, {parts.device.precision}", plural(len(rates), "step")
    say(
        parts.recipe.name,
        f"{parts.recipe.model}, {plural(parameters, 'parameter')}",
        f"{computed}, {steps}, optim.lr {rates[0]:g} to {rates[-1]:g}",
    )


def _say_found(found: "RangeTest", command: str | None, rates: tuple[float, ...]) -> None:
    from thirtytwo.cli.console import say

    if found.lowest is None or command is None:
        say(
            "none found",
            f"no rate from {rates[0]:g} to {rates[-1]:g} lowers the loss by more than its noise: lower "
            "--low if it rises at once, raise --high if it stays level, or take more --steps",
        )
        return
    at_end = found.lowest == found.steps - 1
    say(
        "lowest loss",
        f"{found.smoothed[found.lowest]:.3g} at {found.centres[found.lowest]:.2g}, from {found.losses[0]:.3g}",
        "at the last rate: a larger --high shows more" if at_end else "beyond it the loss rises",
    )
    say("suggested", command)


def _command(words: list[str], imports: list[Path], overrides: dict[str, float]) -> str:
    """``thirtytwo train`` with the user's words, except that the suggested keys replace theirs."""
    from thirtytwo.recipe import resolve_key

    kept = [word for word in words if "=" not in word or resolve_key(word.partition("=")[0].strip()) not in overrides]
    files = [word for file in imports for word in ("--import", str(file))]
    return " ".join(
        map(_quoted, ["thirtytwo", "train", *kept, *(f"{key}={value:g}" for key, value in overrides.items()), *files])
    )


def _quoted(word: str) -> str:
    """A word for the shell: in double quotes where it contains single ones, as a person would write it."""
    import shlex

    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)
