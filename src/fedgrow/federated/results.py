"""The results of a finished run: ``summary.json``, ``operator/`` and ``report.md``."""

from typing import Any

import numpy as np

from fedgrow.architectures import Shape
from fedgrow.disk.atomic import read_json, write_json, write_text
from fedgrow.federated.checkpoint import Checkpoints
from fedgrow.federated.outcome import read_outcome
from fedgrow.learners.dual_ligo import global_operator
from fedgrow.learners.ligo import make_operator
from fedgrow.report.markdown import report
from fedgrow.runs.folder import RunFolder
from fedgrow.runs.operator import write_operator


def write_results(run: RunFolder) -> dict[str, Any]:
    """Gather what the run left on disk and write the operator, the report and the summary (last)."""
    last = Checkpoints(run.path).last()
    assert last is not None
    write_operator(run.path / "operator", run.plan, last.arrays, last.record.round)
    summary = summarise(run)
    write_text(run.path / "report.md", report(run, summary))
    write_json(run.path / "summary.json", summary)
    return summary


def summarise(run: RunFolder) -> dict[str, Any]:
    """Return the summary of a run whose federation and baselines are done."""
    plan = run.plan
    last = Checkpoints(run.path).last()
    assert last is not None
    reports = [read_json(run.participant(name) / "report.json") for name in plan.names]
    people = [
        {k: r[k] for k in ("name", "small", "start", "grown", "parity", "examples", "labels")}
        | {"model_dir": str((run.participant(r["name"]) / "model").relative_to(run.path))}
        for r in reports
    ]
    baselines = {}
    for name in plan.baselines:
        result = read_outcome(run, name).metrics
        baselines[name] = statistics([result[n] for n in plan.names]) | {"participants": result}
    arrays = [
        {"name": n, "shape": list(a.shape), "dtype": str(a.dtype)} for n, a in sorted(last.arrays.items())
    ]
    return {
        "name": plan.name,
        "task": plan.task,
        "family": plan.family,
        "participants": people,
        "small": statistics([r["small"]["metrics"] for r in reports]),
        "start": statistics([r["start"]["metrics"] for r in reports]),
        "grown": statistics([r["grown"]["metrics"] for r in reports]),
        "baselines": baselines,
        "exchange": {
            "bytes_up": last.record.total_up,
            "bytes_down": last.record.total_down,
            "arrays": arrays,
        },
        "parameters": {
            "large": max(r["grown"]["parameters"] for r in reports),
            "global_operator": sum(t.numel() for t in global_operator(plan, run.family).initial().values()),
            "local_operator": max(_local_parameters(run, Shape(**r["small"]["shape"])) for r in reports),
            "private_trained": max(r["private_parameters"] for r in reports),
        },
        "rounds": last.record.round,
        "seed": plan.seed,
    }


def _local_parameters(run: RunFolder, small: Shape) -> int:
    plan = run.plan
    assert isinstance(plan.intermediate, Shape)
    operator = make_operator(plan.local_operator, run.family, small, plan.intermediate, plan.seed)
    return sum(t.numel() for t in operator.initial().values())


def statistics(metrics: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return mean, standard deviation (population) and the least value of every metric over participants."""
    values = {name: np.array([m[name] for m in metrics]) for name in metrics[0]}
    return {
        "metrics_mean": {n: float(v.mean()) for n, v in values.items()},
        "metrics_std": {n: float(v.std()) for n, v in values.items()},
        "metrics_min": {n: float(v.min()) for n, v in values.items()},
        "metrics_max": {n: float(v.max()) for n, v in values.items()},
    }
