"""``thirtytwo bench``."""

from collections.abc import Mapping

from thirtytwo.cli.app import DeviceName, Json, app
from thirtytwo.words import plural


@app.command()
def bench(device: DeviceName = "auto", as_json: Json = False) -> None:
    """Measure what this machine can do, in about a minute, and say what follows for trainings."""
    from thirtytwo.bench import RECIPE
    from thirtytwo.bench import bench as measure
    from thirtytwo.cli.console import say, say_json, say_note
    from thirtytwo.display import output

    with output.status("") as status:
        found = measure(device, lambda what: status.update(f"measuring {what}"))
    if as_json:
        say_json(found.to_dict())
        return
    describes = found.device
    say("device", f"{describes['device']}, {describes['processor']}, {plural(describes['threads'], 'thread')}")
    say("matrix product", _by_precision(found.products, 1e-9, "GFLOP/s"))
    say("convolution", _by_precision(found.convolutions, 1e-9, "GFLOP/s"), "3x3, 256 channels, with its backward pass")
    say("feed", f"{found.feed:,.0f} images/s", "gathered, flipped and shifted")
    say("training step", _by_precision(found.steps, 1, "images/s"), RECIPE)
    say("batch size", _listed(found.batches, "images/s"))
    if found.threads:
        say("threads", _listed(found.threads, "images/s"), "in batches of 128")
    for sentence in found.advice():
        say_note(sentence)


def _by_precision(rates: Mapping[str, float], unit: float, name: str) -> str:
    return ", ".join(f"{precision} {rate * unit:,.0f}" for precision, rate in rates.items()) + f" {name}"


def _listed(rates: Mapping[int, float], name: str) -> str:
    return ", ".join(f"{setting:,}: {rate:,.0f}" for setting, rate in rates.items()) + f" {name}"
