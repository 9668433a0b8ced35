"""What a plan would run: plan, data, models and device are checked as before a run, and nothing is written."""

from typing import Any

from fedgrow.approaches.schedule import total_steps
from fedgrow.config.plan import Plan
from fedgrow.federated.leaving import Leaving
from fedgrow.federated.resolve import check_data, check_models, resolve, small_shapes
from fedgrow.markdown import table
from fedgrow.runs.folder import deal, shard_of
from fedgrow.training.device import device_of


def outlook(plan: Plan) -> dict[str, Any]:
    """Return the settled shapes, the participants' examples, and what travels, as plain values.

    Raises:
        FedgrowError: the plan, the data or a model is wrong; the text says why.
    """
    check_models(plan)
    device_of(plan.training)
    plan = resolve(plan)
    check_data(plan)
    shards, leaving, shapes = deal(plan).shards, Leaving.of(plan), small_shapes(plan)
    return {
        "plan": plan.name,
        "task": plan.task,
        "family": plan.family,
        "participants": {
            name: {"small": str(shapes[name]), "examples": len(shard_of(plan, shards, name))}
            for name in plan.names
        },
        "intermediate": str(plan.intermediate),
        "large": str(plan.large),
        "schedule": plan.schedule.kind,
        "rounds": plan.schedule.rounds,
        "steps": total_steps(plan),
        "sent": {
            "arrays": leaving.arrays,
            "parameters": leaving.numbers,
            "bytes": leaving.bytes,
            "compression": plan.compression.kind,
        },
        "metrics": list(plan.metrics),
        "baselines": list(plan.baselines),
    }


def in_words(found: dict[str, Any]) -> str:
    """Return the outlook as text."""
    sent = found["sent"]
    rows = [["participant", "small model", "examples"]]
    rows += [[name, one["small"], f"{one['examples']:,}"] for name, one in found["participants"].items()]
    return "\n".join(
        [
            f"{found['plan']}: {found['task']}, {found['family']}",
            "",
            *table(rows),
            "",
            f"intermediate shape  {found['intermediate']}",
            f"large shape         {found['large']}",
            f"rounds              {found['rounds']:,} ({found['schedule']}), {found['steps']:,} steps a participant in all",
            f"sent in a round     Global-LiGO: {sent['arrays']} arrays, {sent['parameters']:,} parameters, "
            f"{sent['bytes']:,} bytes (compression: {sent['compression']})",
            f"metrics             {', '.join(found['metrics'])}",
            f"baselines           {', '.join(found['baselines']) or 'none'}",
        ]
    )
