"""``fedgrow server``: coordinate a federation between sites."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from click.core import ParameterSource
from rich.console import Console

from fedgrow.cli.app import app
from fedgrow.cli.progress import interruptible, plainly, step_bars
from fedgrow.errors import FedgrowError


@app.command()
def server(
    context: typer.Context,
    plan: Annotated[
        str | None,
        typer.Argument(help="A plan in YAML, whose participants have names only.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The coordinator's folder; new or empty. Default: `runs/<plan>-<date and time>`.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on: 127.0.0.1, or 0.0.0.0 for all.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port that sites call.")] = 9092,
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            help="Host name or address by which sites call this machine; it is in the certificate. Repeatable.",
        ),
    ] = None,
    certificates: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Take ca.crt, server.crt and server.key from this folder instead of making them.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the plan; repeatable."),
    ] = None,
    only_prepare: Annotated[
        bool,
        typer.Option(
            "--prepare", help="Make the folder and certificates, so that sites can be invited, and end."
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the federation in --out from its last round.")
    ] = False,
) -> None:
    """Coordinate a federation between sites: TLS, every site known by its key, every round on disk.

    Makes certificates, starts Flower's SuperLink behind a guard, waits for the sites that the plan names (`fedgrow
    invite`), and runs the plan. `--resume` goes on after whatever ended it. `fedgrow status` says how it stands.
    """
    from fedgrow.cli.run import Bars
    from fedgrow.config.load import load_plan
    from fedgrow.disk.events import listen, stop_listening
    from fedgrow.runs.folder import digest_of
    from fedgrow.sites.coordination import Coordination
    from fedgrow.sites.coordinator import Coordinator

    if resume:
        if out is None:
            raise FedgrowError("--resume: say which federation with --out")
        if ignored := _given(context) - {"--out", "--resume"}:
            raise FedgrowError(
                f"--resume goes on with a federation as it was begun: leave {', '.join(sorted(ignored))} out"
            )
        at = Coordination.open(out)
        at.run.check_same()
    else:
        if plan is None:
            raise FedgrowError(
                "name a plan (a YAML file), or give --resume with --out to go on with a federation"
            )
        loaded = load_plan(plan, settings or [])
        folder = out or Path("runs") / f"{loaded.name}-{datetime.now():%Y%m%d-%H%M%S}"
        at = Coordination.create(folder, loaded, host, port, names or [], certificates)
    console = Console(stderr=True)
    path = at.run.path
    console.print(
        f"{at.experiment}: sites call {at.calls}; plan {digest_of(at.shown)}\n"
        f"invite sites with: fedgrow invite NAME --key FILE --out {path}",
        soft_wrap=True,
        highlight=False,
    )
    if only_prepare:
        console.print(
            f"give sites {at.certificates / 'ca.crt'}; once they are invited: fedgrow server --resume --out {path}",
            soft_wrap=True,
            highlight=False,
        )
        return
    progress = step_bars(console, as_json=False)
    tell = plainly(console)
    with progress, interruptible(tell, f"go on with: fedgrow server --resume --out {path}"):
        bars = Bars(progress, at.plan)

        def told(event: dict[str, object]) -> None:
            bars(event)
            if event["event"] in ("waiting", "registered", "refused", "left out", "link lost"):
                if isinstance(index := event.get("participant"), int):
                    event = event | {"participant": at.plan.names[index]}
                said = ", ".join(f"{k} {v}" for k, v in event.items() if k not in ("time", "event", "method"))
                tell(f"{event['event']}: {said}")

        listen(path, told)
        try:
            Coordinator(at).carry_out()
        finally:
            stop_listening(path)
    print(f"finished: {path}/operator, {path}/report.md")


def _given(context: typer.Context) -> set[str]:
    """Return which arguments and options a command was given."""
    source = context.get_parameter_source
    return {
        one.opts[0] if one.param_type_name == "option" else one.human_readable_name
        for one in context.command.params
        if source(one.name or "") is ParameterSource.COMMANDLINE
    }
