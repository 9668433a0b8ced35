"""What a site does with a plan, tried before any coordinator shows it: nothing is sent, and nothing of it is kept."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from fedgrow.architectures import Shape
from fedgrow.config.plan import Plan
from fedgrow.config.shown import read_shown
from fedgrow.config.site import SitePlan
from fedgrow.disk.lock import Lock
from fedgrow.participants.participant import Participant
from fedgrow.runs.folder import RunFolder, digest_of
from fedgrow.sites.coordination import for_sites, plan_text
from fedgrow.sites.site import Site


@dataclass(frozen=True)
class Rehearsed:
    """What came of it.

    Attributes:
        plan: the plan as the coordinator would show it.
        digest: its digest.
        small: shape of the site's small model.
        train: how many examples it trains on.
        held_out: how many it is evaluated on.
        metrics: what its small model, as it came, reaches on those.
    """

    plan: Plan
    digest: str
    small: Shape
    train: int
    held_out: int
    metrics: dict[str, float]


def rehearse(settings: SitePlan, plan: Plan) -> Rehearsed:
    """Check a plan against a site's file, limits, model and data.

    Args:
        settings: the site's file.
        plan: the plan, as the coordinator gave it.

    Raises:
        Refused: the site would not take part; the text says why.
        FedgrowError: the plan is none for sites, something is wrong with the site's file, model or data, or another process
            is at work in the site's folder.
    """
    text = plan_text(for_sites(plan))
    shown, digest = read_shown(text), digest_of(text)
    folder = Path(settings.folder)
    with Lock(folder) if folder.is_dir() else contextlib.nullcontext():
        site = Site(settings, lambda *_: False)
        known = site.limits.known_as(digest)
        site.check(shown)
        site.limits.check_plan(known or "", shown, digest)
        if known is None:
            site.check_new(shown, digest)
    own, index = site.own(shown), shown.names.index(settings.name)
    as_it_came = own.prepare.model_copy(update={"steps": 0})
    entry = own.participants[index].model_copy(update={"prepare": as_it_came})
    people = (*own.participants[:index], entry, *own.participants[index + 1 :])
    with TemporaryDirectory(prefix="fedgrow-") as place:
        tried = own.model_copy(update={"participants": people})
        participant = Participant(RunFolder.create(Path(place) / "run", tried, "site").path, index)
        participant.prepare()
        found = participant.prepared
    examples = found["examples"]
    return Rehearsed(
        shown, digest, Shape(**found["shape"]), examples["train"], examples["test"], found["metrics"]
    )
