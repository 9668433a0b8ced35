"""``report.md``: what growing together brought, beside what else one could have done."""

from typing import Any

from fedgrow.approaches import BASELINES, Federated
from fedgrow.approaches.schedule import total_steps
from fedgrow.config.plan import OperatorPlan, Plan
from fedgrow.growth import OPERATORS
from fedgrow.markdown import table
from fedgrow.runs.folder import RunFolder, shared_source
from fedgrow.tasks import TASKS


def other_federations(plan: Plan) -> list[str]:
    """Say what travels in those baselines that are federations themselves."""
    return [
        f"The baseline `{name}` is another federation, simulated beside: there {BASELINES[name].travels} travels. "
        "Its bytes are not in the figures above; leave it out where even a baseline may not."
        for name in plan.baselines
        if isinstance(BASELINES[name], Federated)
    ]


def report(run: RunFolder, summary: dict[str, Any]) -> str:
    """Return the report of a finished run as Markdown."""
    plan = run.plan
    task = TASKS[plan.task]
    metric = task.metrics[0]
    better = "higher" if task.higher_is_better(metric) else "lower"
    lines = [
        f"# {plan.name}",
        "",
        f"{len(plan.participants)} participants, task {plan.task} ({metric}, {better} is better), family {plan.family}, "
        f"seed {plan.seed}. Intermediate shape {plan.intermediate}, large shape {plan.large}. "
        f"Operator {describe(plan.operator)}; Local-LiGO {describe(plan.local_operator)}. "
        f"Schedule {plan.schedule.kind}: {plan.schedule.rounds} rounds of {plan.schedule.steps} steps.",
        "",
        "Every figure is measured on each participant's own held-out data. Which data one run holds out, and its seed, "
        "move these figures by points.",
        "",
        "## Methods",
        "",
        *table(method_rows(summary, task.metrics, task.higher_is_better(metric))),
        "",
        verdict(summary, metric, task.higher_is_better(metric)),
        "",
        budget(plan),
        "",
        "## Participants",
        "",
        *table(participant_rows(summary, metric)),
        "",
        "`at start` is the grown model before any growth training; parity is the difference of its logits from the "
        "small model's then, of weights as they are stored (float32).",
        *(line for note in (classes(summary), unused(run)) if note for line in ("", note)),
        "",
        "## What travelled",
        "",
        f"{summary['exchange']['bytes_up']:,} bytes up and {summary['exchange']['bytes_down']:,} bytes down, as serialised, "
        f"all rounds and participants: {len(summary['exchange']['arrays'])} arrays of Global-LiGO "
        f"({summary['parameters']['global_operator']:,} numbers, "
        f"{summary['parameters']['global_operator'] / summary['parameters']['large']:.2%} of the large model's "
        f"{summary['parameters']['large']:,}) and the listed metrics. Small models, heads, Local-LiGO "
        f"(at most {summary['parameters']['local_operator']:,} numbers) and data stayed in `participants/NAME/private`.",
        *(line for note in other_federations(plan) for line in ("", note)),
        "",
    ]
    return "\n".join(lines)


def describe(operator: OperatorPlan) -> str:
    """Return an operator's kind, rank and start in words."""
    rank_number = operator.rank or OPERATORS[operator.kind].default_rank
    rank = f" of rank {rank_number}" if rank_number else ""
    return f"{operator.kind}{rank}" + ("" if operator.start == "exact" else f" ({operator.start} start)")


def method_rows(summary: dict[str, Any], metrics: tuple[str, ...], higher: bool) -> list[list[str]]:
    """Return the table of methods: mean, deviation and worst participant."""
    worst = "metrics_min" if higher else "metrics_max"
    methods = {
        "small models, before growth": summary["small"],
        "grown, at start": summary["start"],
        "**grown together (Fed-Grow)**": summary["grown"],
        **{BASELINES[name].title: values for name, values in summary["baselines"].items()},
    }
    head = ["method", *(f"{m} (mean ± sd over participants)" for m in metrics), f"worst {metrics[0]}"]
    rows = [
        [
            name,
            *(f"{v['metrics_mean'][m]:.3f} ± {v['metrics_std'][m]:.3f}" for m in metrics),
            f"{v[worst][metrics[0]]:.3f}",
        ]
        for name, v in methods.items()
    ]
    return [head, *rows]


def participant_rows(summary: dict[str, Any], metric: str) -> list[list[str]]:
    """Return the table of participants."""
    head = [
        "participant",
        "train / test",
        "classes",
        "small shape",
        "parameters",
        "small",
        "at start",
        "grown",
        "grown parameters",
        "parity max / mean",
    ]
    rows = [
        [
            p["name"],
            f"{p['examples']['train']} / {p['examples']['test']}",
            f"{p['labels'] or ''}",
            "{layers}x{width}, {heads} heads, ffn {ffn}".format(**p["small"]["shape"]),
            f"{p['small']['parameters']:,}",
            f"{p['small']['metrics'][metric]:.3f}",
            f"{p['start']['metrics'][metric]:.3f}",
            f"{p['grown']['metrics'][metric]:.3f}",
            f"{p['grown']['parameters']:,}",
            f"{p['parity']['max_abs']:.1e} / {p['parity']['mean_abs']:.1e}",
        ]
        for p in summary["participants"]
    ]
    return [head, *rows]


def classes(summary: dict[str, Any]) -> str:
    """Say what unequal numbers of classes mean for the figures; nothing where all have the same."""
    counts = [p["labels"] for p in summary["participants"]]
    if len(set(counts)) < 2 and 1 not in counts:
        return ""
    single = counts.count(1)
    return (
        "A head has the classes of its participant's own shard, and fewer are easier: means rise with skew."
        + (
            f" {single} of {len(counts)} participants have one class, so that all methods are right there."
            if single
            else ""
        )
    )


def unused(run: RunFolder) -> str:
    """Say how many rows went to nobody, where the plan does not cap shards; nothing if none did."""
    plan, dealt = run.plan, sum(map(len, run.partition.shards.values()))
    if plan.data is None or not dealt or plan.partition.max_examples is not None:
        return ""
    rows = len(shared_source(plan))
    if rows == dealt:
        return ""
    return (
        f"{rows - dealt:,} of {rows:,} rows of the plan's data are unused: their values of column "
        f"{plan.partition.column!r} match no participant's name."
    )


def budget(plan: Plan) -> str:
    """Say what every method was given, where they differ, and which way that leans."""
    people = len(plan.participants)
    others = [name for name in plan.baselines if len(BASELINES[name].prepared(plan)) < people]
    share = plan.schedule.participation
    return (
        f"Budget: {total_steps(plan)} steps a participant{_but(plan)}, same shards and batch size"
        + (
            f"; a round has {share:.0%} of the participants, and the rest have no steps in it"
            if share < 1
            else ""
        )
        + f". Methods begin with small models prepared by {plan.prepare.steps} steps on the participant's own shard"
        + (f", but not {', '.join(others)}, which begin with one of them, or none" if others else "")
        + ". The small model fine-tuned locally keeps one optimizer, where rounds begin a fresh one: a slight favour to it."
    )


def _but(plan: Plan) -> str:
    without = [name for name in plan.baselines if not BASELINES[name].goes_by]
    return f" (none in {', '.join(without)}, which train no network)" if without else ""


def verdict(summary: dict[str, Any], metric: str, higher: bool) -> str:
    """Say in one sentence how growing together compares with everything else that was run."""
    grown = summary["grown"]["metrics_mean"][metric]
    others = {
        "the small models before growth": summary["small"],
        **{BASELINES[n].title: v for n, v in summary["baselines"].items()},
    }
    parts = []
    for name, values in others.items():
        gap = grown - values["metrics_mean"][metric]
        word = "level with" if abs(gap) < 5e-4 else ("better than" if (gap > 0) == higher else "worse than")
        parts.append(f"{word} {name} ({gap:+.3f})")
    return (
        f"In mean {metric} of this one run, growing together was {'; '.join(parts)}. One run decides nothing: `fedgrow "
        "compare` pairs methods over several seeds, with intervals."
    )
