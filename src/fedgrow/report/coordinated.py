"""The coordinator's report: what it knows of a federation between sites, which is what the plan lists."""

from typing import Any

import numpy as np

from fedgrow.config.plan import Plan
from fedgrow.markdown import table


def report(status: dict[str, Any], plan: Plan) -> str:
    """Write the report from how the federation stands at its end (``fedgrow.sites.status.status_of``)."""
    names = [name for name in status["metrics"] if name != "train_loss"]
    sites = status["sites"]
    rows: list[list[str]] = [["site", "answered", "refused", "left out", *names]]
    for name, site in sites.items():
        counts = [str(site[key]) for key in ("answered", "refused", "left_out")]
        rows.append([name, *counts, *(_shown(site["metrics"][metric]) for metric in names)])
    values = {m: [s["metrics"][m] for s in sites.values() if s["metrics"][m] is not None] for m in names}
    rows.append(["mean", "", "", "", *(_shown(float(np.mean(v)) if v else None) for v in values.values())])
    lines = [
        f"# {status['experiment']}",
        "",
        f"- {plan.task}, {plan.family}, grown to {plan.large}; {len(plan.names)} sites, {status['round']} rounds "
        f"of {plan.schedule.steps} steps, {plan.faults.mode}",
        f"- {status['bytes_up']:,} bytes came from the sites, {status['bytes_down']:,} went to them, as serialised",
        "- `operator/` holds Global-LiGO; every site has its own large model",
        "",
        *table(rows),
        "",
        "Metrics are after the last round, each on the site's own held-out data, as the site reported them. `refused`",
        "counts answers that were not taken, or said that the site could not answer; it was asked again.",
    ]
    return "\n".join(lines) + "\n"


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
