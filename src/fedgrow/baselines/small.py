"""The small model trained on, for as many steps as its owner spends on growth: the cheapest thing one could do."""

from fedgrow.federated.client_app import participant
from fedgrow.methods import WholeModel
from fedgrow.runs.folder import RunFolder


def run(folder: RunFolder) -> list[dict[str, float]]:
    """Return every participant's metrics."""
    plan = folder.plan
    local = plan.schedule.local_steps if plan.schedule.kind == "two-phase" else 0
    results = []
    for index in range(len(plan.participants)):
        site = participant(str(folder.path), index, "dual-ligo")
        rate = (site.entry.prepare or plan.prepare).learning_rate
        learner = WholeModel(site.small_model, rate)
        steps = local + plan.schedule.rounds * plan.schedule.steps
        fitted = site.fit(learner, {}, learner.private_start(), "joint", steps, 0)
        results.append(site.evaluate(learner, {}, fitted.private))
    return results
