"""``thirtytwo test``."""

from thirtytwo.cli.app import DeviceName, Import, Json, RunPath, app


@app.command()
def test(run: RunPath, device: DeviceName = "auto", imports: Import = [], as_json: Json = False) -> None:  # noqa: B006
    """Score a run on its test split once more. Every look is counted and shown in each report."""
    from thirtytwo.api.verbs import open_run
    from thirtytwo.cli.scores import say_run_json, say_scores

    trained = open_run(run, device=device)
    trained.test()
    trained.report()
    if as_json:
        say_run_json(trained.run)
    else:
        say_scores(trained.run)
