"""``thirtytwo test``."""

from thirtytwo.cli.app import DeviceName, Import, Json, Moved, RunPath, app


@app.command()
def test(
    run: RunPath,
    data: Moved = None,
    device: DeviceName = "auto",
    imports: Import = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Score a run on its test split once more. Every look is counted and shown in each report."""
    from thirtytwo.api.verbs import open_run
    from thirtytwo.cli.scores import say_run_json, say_scores

    trained = open_run(run, device=device, data=data)
    trained.test()
    trained.report()
    if as_json:
        say_run_json(trained.run)
    else:
        say_scores(trained.run)
