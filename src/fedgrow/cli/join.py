"""``fedgrow join``: take part in a federation as a site."""

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from fedgrow.cli.app import app
from fedgrow.cli.progress import interruptible, plainly, printable

if TYPE_CHECKING:
    from fedgrow.config.plan import Plan
    from fedgrow.config.site import SitePlan

REFUSED = 3


@app.command()
def join(
    site: Annotated[Path, typer.Argument(help="The site's own file, in YAML.", exists=True, dir_okay=False)],
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", help="Approve the plan that the coordinator shows, if it is within the limits."
        ),
    ] = False,
    only_key: Annotated[
        bool, typer.Option("--key", help="Make the site's key, print its public half, and end.")
    ] = False,
    check: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="PLAN",
            help="Check the coordinator's plan, a file, against this site's file, limits, model and data, and end: nothing "
            "is sent or kept. Prints the plan's digest.",
            show_default=False,
        ),
    ] = None,
    wait: Annotated[
        float, typer.Option(min=1.0, help="Hours without a word from the coordinator after which to give up.")
    ] = 7 * 24.0,
) -> None:
    """Take part in a federation: show the plan for approval once, train, and end with a large model of one's own.

    Nothing leaves but what the plan lists; every message that leaves is in the ledger (`fedgrow audit`). Nothing that
    the coordinator sends is run. The same command goes on after an interruption. Exit code 3: the plan, a limit of
    the site's own, changed data, or a coordinator with another fedgrow was refused.
    """
    from fedgrow.config.site import load_site
    from fedgrow.disk.atomic import make_folder
    from fedgrow.sites.certificates import make_key

    settings = load_site(site, invited=not only_key and check is None)
    tell = plainly(Console(stderr=True))

    if only_key:
        make_folder(Path(settings.folder), "folder")
        print(make_key(Path(settings.folder) / "private" / "key"))
        return
    from fedgrow.sites.join import Join, Refused

    if check is not None:
        try:
            with interruptible(tell, "nothing was sent or kept"):
                print(rehearsed(settings, check))
        except Refused as error:
            tell(f"would be refused: {error}")
            sys.exit(REFUSED)
        return

    def approve(plan: "Plan", digest: str) -> bool:
        tell(f"The coordinator shows {told(plan, digest)}")
        if yes:
            return True
        if not sys.stdin.isatty():
            tell("nobody is here to approve it: put `plan: <digest>` into the site's file, or give --yes")
            return False
        try:
            return typer.confirm("Take part?")
        except typer.Abort:  # Ctrl-C, or the end that a service manager asks for
            raise KeyboardInterrupt from None

    one = Join(settings, approve, tell, wait * 3600)
    tell(
        f"{settings.name} joins {settings.coordinator}; its public key, for `fedgrow invite`:\n{one.public_key}"
    )
    try:
        with interruptible(tell, f"go on with: fedgrow join {site}"):
            one.carry_out()
    except Refused as error:
        tell(f"refused: {error}")
        sys.exit(REFUSED)
    print(f"finished: {settings.folder}/experiments/*/participants/{settings.name}/model")


def rehearsed(settings: "SitePlan", path: Path) -> str:
    """Say what a plan asks of a site, and what this site would bring to it."""
    from fedgrow.config.load import load_plan
    from fedgrow.sites.rehearsal import rehearse

    found = rehearse(settings, load_plan(str(path)))
    own = found.trial
    reached = ", ".join(f"{name} {value:.4g}" for name, value in own.metrics.items())
    return printable(
        f"{told(found.plan, found.digest)}\n"
        f"{settings.name} could take part, within its limits: {own.train:,} examples to train on, {own.held_out:,} held "
        f"out; its small model ({own.small}), as it came: {reached}\n"
        f"where the coordinator shows this digest, `plan: {found.digest}` in the site's file approves it"
    )


def told(plan: "Plan", digest: str) -> str:
    """Say what a plan asks of a site."""
    from fedgrow.federated.leaving import Leaving

    leaving, schedule = Leaving.of(plan), plan.schedule
    return (
        f"plan {plan.name!r} ({digest}):\n"
        f"  {plan.task}, {plan.family}, to {plan.large}\n"
        f"  {len(plan.names)} participants: {', '.join(plan.names)}\n"
        f"  {schedule.rounds:,} rounds of {schedule.steps:,} steps; {schedule.kind} schedule; {plan.faults.mode} rounds\n"
        f"  besides: {plan.prepare.steps:,} steps on the small model (or what the site's file says), "
        f"{schedule.local_steps if schedule.kind == 'two-phase' else 0:,} before the first round, "
        f"{schedule.finetune_steps:,} after the last\n"
        f"  leaves this site in every round: Global-LiGO, {leaving.arrays} arrays of {leaving.numbers:,} numbers, "
        f"{leaving.bytes:,} bytes (compression: {plan.compression.kind}); its number of training examples; its training "
        f"loss; of its held-out examples: {', '.join(plan.metrics)}\n"
        f"all settings that are not the default:\n{textwrap.indent(chosen(plan), '  ')}"
    )


def chosen(plan: "Plan") -> str:
    """Return every setting of a plan that is not the default, as YAML."""
    from fedgrow.config.text import write_yaml

    return write_yaml(plan.model_dump(mode="json", exclude_defaults=True)).rstrip()
