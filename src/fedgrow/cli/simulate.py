"""``fedgrow simulate``: run a plan on one machine."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from fedgrow.cli.app import app
from fedgrow.cli.registered import BASELINES, Registered
from fedgrow.config.shipped import shipped_plans
from fedgrow.errors import FedgrowError


@app.command(cls=Registered)
def simulate(
    plan: Annotated[
        str | None,
        typer.Argument(
            help=f"A plan in YAML, or a shipped one: {', '.join(shipped_plans())}.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Run folder; new or empty. Default: `runs/<plan>-<date and time>`.", show_default=False
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a setting, such as schedule.rounds=4; repeatable."
        ),
    ] = None,
    engine: Annotated[str, typer.Option(help="What carries the messages: local or ray.")] = "local",
    baselines: Annotated[
        str | None,
        typer.Option(help=f"Baselines beside, with commas: {BASELINES}; or none. Default: the plan's."),
    ] = None,
    operator: Annotated[
        Path | None,
        typer.Option(
            help="Newcomers: take this trained Global-LiGO (a run's `operator`) as it is, train only Local-LiGO and head.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out from its last round.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check plan, data and models, and say what would be run.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json instead of tables.")] = False,
) -> None:
    """Run a federation on this machine, from a plan to grown models.

    Every participant ends with its own large model in `<out>/participants/NAME/model`; `<out>/report.md` says what
    growing together brought. The same plan and seed give the same result, bit for bit.
    """
    from fedgrow.cli.run import run
    from fedgrow.config.load import load_plan

    changes = list(settings or [])
    if baselines is not None:
        chosen = [] if baselines == "none" else [b.strip() for b in baselines.split(",") if b.strip()]
        changes.append(f"baselines={chosen}")
    if operator is not None:
        if mine := next((c for c in changes if c.startswith(("operator=", "operator."))), None):
            raise FedgrowError(
                f"--set {mine}: --operator takes a trained operator as it is; leave one of them out"
            )
        changes.append(f"operator={{trained: {json.dumps(str(operator.resolve()))}, frozen: true}}")
    if plan is None and not (resume and out):
        raise FedgrowError(
            "name a plan (a YAML file or a shipped one), or give --resume with --out to go on with a run"
        )
    if plan is None and changes:
        raise FedgrowError(
            "--resume goes on with the run's own plan: leave --set, --baselines and --operator out"
        )
    if resume and out is None:
        raise FedgrowError("--resume: say which run with --out")
    loaded = load_plan(plan, changes) if plan is not None else None
    if dry_run:
        if loaded is None or resume:
            raise FedgrowError("--dry-run looks at a plan: name one, and leave --resume out")
        from fedgrow.federated.outlook import in_words, outlook

        found = outlook(loaded)
        print(json.dumps(found, indent=2) if as_json else in_words(found))
        return
    name = loaded.name if loaded else "run"
    run(
        loaded,
        out or Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}",
        engine=engine,
        resume=resume,
        as_json=as_json,
    )
