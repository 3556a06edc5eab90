"""``thirtytwo report``."""

from thirtytwo.cli.app import Import, Json, RunPath, app


@app.command()
def report(run: RunPath, imports: Import = [], as_json: Json = False) -> None:  # noqa: B006
    """Write a run's report.html and figures again from the files in its folder."""
    from thirtytwo.cli.console import say, say_json
    from thirtytwo.report.html import write
    from thirtytwo.runs.run import Run

    path = write(Run.open(run))
    if as_json:
        say_json({"report": str(path)})
    else:
        say("report", str(path))
