"""What a site does with a plan, tried before any coordinator shows it."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from fedgrow.config.plan import Plan
from fedgrow.config.shown import read_shown
from fedgrow.config.site import SitePlan
from fedgrow.disk.lock import Lock
from fedgrow.runs.folder import digest_of
from fedgrow.sites.coordination import for_sites, plan_text
from fedgrow.sites.site import Site
from fedgrow.sites.trial import Trial


@dataclass(frozen=True)
class Rehearsed:
    """What came of it.

    Attributes:
        plan: the plan as the coordinator would show it.
        digest: its digest.
        trial: the site's model and data.
    """

    plan: Plan
    digest: str
    trial: Trial


def rehearse(settings: SitePlan, plan: Plan) -> Rehearsed:
    """Check a plan against a site's file, limits, model and data; nothing is asked, sent or kept.

    Args:
        settings: the site's file.
        plan: the plan, as the coordinator gave it.

    Raises:
        Refused: the site would not take part; the text says why.
        FedgrowError: the plan is none for sites, something is wrong with the site's file, model or data, or another process
            is at work in the site's folder.
    """
    text = plan_text(for_sites(plan))
    shown, digest, folder = read_shown(text), digest_of(text), Path(settings.folder)
    with Lock(folder) if folder.is_dir() else contextlib.nullcontext():
        trial = Site(settings, lambda *_: False).rehearse(shown, digest)
    return Rehearsed(shown, digest, trial)
