"""The same growth with no averaging: every participant trains its own copy of both operators."""

from fedgrow.federated.client_app import participant
from fedgrow.methods.base import Phase
from fedgrow.runs.folder import RunFolder


def run(folder: RunFolder) -> list[dict[str, float]]:
    """Return every participant's metrics."""
    schedule = folder.plan.schedule
    phase: Phase = "joint" if schedule.kind == "joint" else "grow"
    results = []
    for index in range(len(folder.plan.participants)):
        site = participant(str(folder.path), index, "dual-ligo")
        shared, private = site.shared_start, site.learner.private_start()
        if schedule.kind == "two-phase":
            private = site.fit(site.learner, shared, private, "local", schedule.local_steps, 0).private
        for server_round in range(1, schedule.rounds + 1):
            fitted = site.fit(site.learner, shared, private, phase, schedule.steps, server_round)
            shared, private = fitted.shared, fitted.private
        results.append(site.evaluate(site.learner, shared, private))
    return results
