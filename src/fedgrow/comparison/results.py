"""The results of a study: one line for every finished experiment."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fedgrow.approaches import APPROACHES, Outcome
from fedgrow.architectures import Shape, families
from fedgrow.architectures.axes import axis_size
from fedgrow.comparison.execute import is_done, record_of
from fedgrow.comparison.experiments import Experiment, bare
from fedgrow.comparison.run import StudyRun
from fedgrow.config.plan import Plan
from fedgrow.disk.atomic import write_bytes
from fedgrow.tasks import TASKS

TABLE = "results.parquet"
WRITTEN = ("versions", "curve", "plan", "inputs", "participants")  # as JSON


def gather(work: StudyRun) -> pd.DataFrame:
    """Return the finished experiments of a study, one line each, known ones with them; empty if there is none.

    Columns: ``method``, ``approach``, ``task``, ``kind`` (of task), ``partition``, ``seed``; ``metric`` (the one compared)
    and ``higher_is_better``; for every metric of the task ``<metric>_mean``, ``_sd``, ``_worst`` over participants; costs
    as ``line`` says; ``curve``, ``participants``, ``plan`` (local paths by their last names), ``inputs`` (their digests) and
    ``versions`` as JSON; ``split`` is a digest of everyone's training and held-out examples.
    """
    lines = []
    for one in work.all():
        if is_done(work.folder(one)):
            lines.append(line(one, record_of(work.folder(one))))
        elif one.name in work.known:
            lines.append(work.known[one.name])
    return pd.DataFrame(lines)


def write_table(frame: pd.DataFrame, out: Path) -> None:
    """Write the results as ``results.parquet``."""
    write_bytes(out / TABLE, frame.to_parquet(index=False))


def as_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the results for JSON, a record each, what is JSON within as what it stands for."""
    records: list[dict[str, Any]] = json.loads(frame.to_json(orient="records"))
    return [record | {name: json.loads(record[name]) for name in WRITTEN} for record in records]


def line(experiment: Experiment, record: dict[str, Any]) -> dict[str, Any]:
    """Return one experiment's line.

    ``bytes_up`` and ``bytes_down`` are of all rounds and participants, as serialised; ``body_bytes`` is the large body
    (``body_size``) in float32, for one participant and one way. ``flops`` is the training of all participants,
    operators included, ``readying_flops`` that of the small models where the approach begins with them; ``trained`` is the
    mean count of trained numbers over participants, ``model`` that of the parameters of the models they end with.
    """
    plan, task = experiment.plan, TASKS[experiment.plan.task]
    outcome = Outcome.from_json(record["outcome"])
    ended = list(outcome.participants.values())
    metric = task.metrics[0]
    found: dict[str, Any] = {
        "method": experiment.method,
        "approach": experiment.approach,
        "task": experiment.setting.task,
        "kind": task.name,
        "partition": experiment.setting.partition,
        "seed": experiment.setting.seed,
        "participants_count": len(ended),
        "rounds": plan.schedule.rounds,
        "metric": metric,
        "higher_is_better": task.higher_is_better(metric),
    }
    for name in sorted({n for e in ended for n in e.metrics}):
        values = np.array([e.metrics[name] for e in ended])
        found |= {
            f"{name}_mean": float(values.mean()),
            f"{name}_sd": float(values.std()),
            f"{name}_worst": float(values.min() if task.higher_is_better(name) else values.max()),
        }
    prepared = APPROACHES[experiment.approach].prepared(plan)
    return found | {
        "trained": float(np.mean([e.trained for e in ended])),
        "model": float(np.mean([e.model for e in ended])),
        "shared": outcome.shared,
        "bytes_up": outcome.bytes_up[-1] if outcome.bytes_up else 0,
        "bytes_down": outcome.bytes_down[-1] if outcome.bytes_down else 0,
        "body_bytes": 4 * body_size(plan),
        "flops": float(sum(e.flops[-1] for e in ended if e.flops)),
        "readying_flops": float(sum(record["readying_flops"][i] for i in prepared)),
        "peak_memory": _or_nan(record["peak_memory"]),
        "seconds": _or_nan(record["seconds"]),
        "finished": record["finished"],
        "versions": json.dumps(
            {"Python": record["environment"]["python"], **record["environment"]["packages"]}
        ),
        "curve": json.dumps(curve(outcome, metric)),
        "plan": bare(plan).model_dump_json(),
        "inputs": json.dumps(record["inputs"]),
        "split": record["split"],
        "participants": json.dumps({name: e.metrics for name, e in outcome.participants.items()}),
    }


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def curve(outcome: Outcome, metric: str) -> list[dict[str, float]]:
    """Return the mean metric over participants after every round, with the bytes and arithmetic spent until then.

    The mean is over those who were evaluated then; a round in which no one was has no point.
    """
    ended = list(outcome.participants.values())
    rounds = min(len(e.curve) for e in ended)
    bytes_ = [up + down for up, down in zip(outcome.bytes_up, outcome.bytes_down, strict=True)]
    found = []
    for i in range(rounds):
        values = [value for e in ended if (value := e.curve[i][metric]) is not None]
        if values:
            spent = bytes_[min(i, len(bytes_) - 1)] if bytes_ else 0
            flops = float(sum(e.flops[i] for e in ended))
            found.append(
                {"round": i + 1, "value": float(np.mean(values)), "bytes": float(spent), "flops": flops}
            )
    return found


def body_size(plan: Plan) -> int:
    """Count the numbers of the large model's body for its task; tensors with an axis of fixed size are left out.

    These are tables over vocabulary and positions, and projections of patches.
    """
    family, shape = families()[plan.family or ""], plan.large
    assert isinstance(shape, Shape)
    total = 0
    for spec in family.specs(plan.task):
        if spec.part != "body" or spec.tied_to:
            continue
        sizes = [axis_size(label, shape) for label in spec.axes]
        if all(size is not None for size in sizes):
            total += int(np.prod([s or 0 for s in sizes])) * len(spec.names(shape))
    return total
