"""``fedgrow demo``: the whole job in a few minutes, with nothing but what fedgrow installs."""

from pathlib import Path
from typing import Annotated

import typer

from fedgrow.cli.app import app


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Run folder; new or empty.")] = Path("fedgrow-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json instead of tables.")] = False,
) -> None:
    """Grow four different small ViTs together on scikit-learn's digits, with three baselines beside. No network.

    Four participants with skewed shares of the digits each train a small vision transformer of their own shape, then
    grow a larger one together; only the growth operator travels.
    """
    from fedgrow.cli.run import run
    from fedgrow.config.load import load_plan

    plan = load_plan("digits", [f"seed={seed}"])
    run(plan, out, engine="local", resume=False, as_json=as_json)
