"""The report of a study: ``report.md`` with its figures beside, and ``report.html``, which stands alone."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from fedgrow.approaches import APPROACHES, Approach, Federated, Together
from fedgrow.approaches.schedule import share_of
from fedgrow.comparison.figures import curves
from fedgrow.comparison.statistics import LEVEL, differences
from fedgrow.config.study import Study
from fedgrow.disk.atomic import write_text
from fedgrow.disk.environment import environment
from fedgrow.markdown import table

Rows = list[list[str]]
AXES = {
    "round": "rounds",
    "bytes": "bytes travelled (all participants, both ways)",
    "flops": "training FLOPs (preparing small models apart)",
}


@dataclass(frozen=True)
class Part:
    """One task and partition: its tables and figures (SVG, by what is on the axis)."""

    title: str
    said: str
    methods: Rows
    differences: Rows
    figures: dict[str, str]


def write_report(study: Study, frame: pd.DataFrame, out: Path, failed: dict[str, str], missing: int) -> None:
    """Write ``report.md``, ``report.html`` and ``figures/`` into a study's folder.

    Args:
        study: the study.
        frame: its results so far.
        out: its folder.
        failed: the reason of every failure.
        missing: experiments that are not done.
    """
    parts = list(sections(study, frame))
    facts = head(study, frame, failed, missing)
    overall = summary(study, frame)
    lines = [f"# {study.name}", "", *(f"- {fact}" for fact in facts), ""]
    if len(overall) > 1:
        lines += ["## In short", "", *table(overall), ""]
    for number, part in enumerate(parts):
        lines += [f"## {part.title}", "", part.said, "", *table(part.methods), ""]
        if len(part.differences) > 1:
            lines += [*table(part.differences), ""]
        for axis, svg in part.figures.items():
            name = f"figures/{number}-{axis}.svg"
            write_text(out / name, svg)
            lines += [f"![{part.title} against {AXES[axis]}]({name})", ""]
    lines += [NOTES, ""]
    write_text(out / "report.md", "\n".join(lines))
    template = (resources.files("fedgrow.comparison") / "report.html.j2").read_text("utf-8")
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(template)
    write_text(
        out / "report.html",
        page.render(name=study.name, facts=facts, overall=overall, parts=parts, axes=AXES, notes=NOTES),
    )


NOTES = (
    "Every figure is measured on each participant's own held-out data; `±` is the sample's standard deviation over seeds, "
    "`sd` that of all participants (mean over seeds); differences are paired over the seeds that both methods have, with a "
    f"{LEVEL:.0%} interval (Student's t). Bytes and FLOPs are of all rounds and participants; bytes are those of the "
    "messages as serialised, with evaluation's broadcasts. Evaluation along with the next round is of arrays as rounded for "
    "the way (`compression.down`), the last round's of exact ones. The large body, in float32, is without tables and "
    "projections of a fixed size (vocabulary, positions, patches). Arithmetic is counted by torch (products, convolutions, "
    "attention); preparing is that of small models before growth. Peak memory is that of the experiment's whole process, "
    "with all its participants; seconds are with evaluation and counting."
)


def head(study: Study, frame: pd.DataFrame, failed: dict[str, str], missing: int) -> list[str]:
    """Say what was run, when, and on what."""
    record = environment()
    seeds = ", ".join(map(str, study.seeds))
    facts = [
        f"{len(frame)} experiments; seeds {seeds}; methods are compared with `{next(iter(study.methods))}`",
        f"{record['platform']}, {record['cpus']} cores, one thread an experiment",
    ]
    if len(frame):
        facts.append(_versions(frame))
        facts.append(f"finished {frame['finished'].min()} to {frame['finished'].max()}")
    if missing:
        facts.append(f"**{missing} experiments are not done**; the same command goes on with them")
    facts += [f"**failed**: {name}: {reason}" for name, reason in failed.items()]
    return facts


def _versions(frame: pd.DataFrame) -> str:
    """Say what the experiments ran with; where that differs among them, how many ran with what."""
    found = [json.loads(text) for text in frame["versions"]]
    said = []
    for name in found[0]:
        numbers = Counter(one[name] for one in found)
        several = len(numbers) > 1
        said.append(
            f"{name} "
            + " and ".join(f"{v} ({n} of {len(found)})" if several else v for v, n in numbers.items())
        )
    return ", ".join(said)


def summary(study: Study, frame: pd.DataFrame) -> Rows:
    """Return in how many tasks and partitions the first method is surely ahead of, or behind, each other one."""
    reference = next(iter(study.methods))
    rows = [
        [
            f"`{reference}` against",
            "ahead",
            "behind",
            "undecided",
            "worst participant: ahead",
            "behind",
            "undecided",
        ]
    ]
    if not len(frame):
        return rows
    found = {column: differences(frame, reference, column) for column in ("mean", "worst")}
    if not len(found["mean"]):
        return rows
    for name in study.methods:
        cells = []
        for column in ("mean", "worst"):
            mine = found[column][found[column]["method"] == name]
            cells += [str(int((mine["sure"] == sign).sum())) for sign in (1, -1, 0)]
        if name in set(found["mean"]["method"]):
            rows.append([f"`{name}`", *cells])
    return rows


def sections(study: Study, frame: pd.DataFrame) -> Iterator[Part]:
    """Yield the parts of the report, in the study's order."""
    if not len(frame):
        return
    reference = next(iter(study.methods))
    gaps = {column: differences(frame, reference, column) for column in ("mean", "worst")}
    for task in study.tasks:
        for partition in study.partitions:
            part = frame[(frame["task"] == task) & (frame["partition"] == partition)]
            if not len(part):
                continue
            part, seeds = of_common_seeds(part)
            metric = part["metric"].iloc[0]
            better = "higher" if part["higher_is_better"].iloc[0] else "lower"
            said = (
                f"{part['kind'].iloc[0]}, {metric} ({better} is better), {part['participants_count'].iloc[0]} participants, "
                f"{_span(part['rounds'])} rounds{seeds}.{evaluated(part)}"
            )
            figures = {axis: curves(_curves(part, axis), AXES[axis], metric) for axis in AXES}
            yield Part(
                f"{task}, {partition}",
                said,
                method_rows(part),
                difference_rows(gaps, task, partition, reference),
                {axis: svg for axis, svg in figures.items() if svg},
            )


def of_common_seeds(part: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the lines of the seeds that every method has, for a mean over other seeds is of other data, and words on it.

    Where methods have no seed in common, all lines are returned, and the words say so.
    """
    seeds = [set(lines["seed"]) for _, lines in part.groupby("method")]
    common = set.intersection(*seeds)
    if all(own == common for own in seeds):
        return part, ""
    if not common:
        return part, "; **methods have no seed in common: do not compare their means**"
    kept = ", ".join(map(str, sorted(common)))
    return part[part["seed"].isin(common)], f"; of the seeds that all methods have: {kept}"


def evaluated(part: pd.DataFrame) -> str:
    """Return words on who evaluated how, where federated methods differ: a phase apart sends all down once more a round."""
    sending = part[part["bytes_up"] > 0]
    names: dict[bool, set[str]] = {False: set(), True: set()}
    for method, approach, plan in sending[["method", "approach", "plan"]].itertuples(index=False):
        names[_along(APPROACHES[approach], plan)].add(f"`{method}`")
    if not all(names.values()):
        return ""
    apart, along = (", ".join(sorted(found)) for found in names.values())
    return f" **Evaluated in a phase apart, another broadcast a round: {apart}; along with the next round: {along}.**"


def _along(approach: Approach, plan: str) -> bool:
    asked = bool(json.loads(plan)["schedule"]["evaluation"] == "along")
    return asked and isinstance(approach, Federated) and approach.may_go_along


def method_rows(part: pd.DataFrame) -> Rows:
    """Return a line for every method of one task and partition, the best first."""
    metric, higher = part["metric"].iloc[0], bool(part["higher_is_better"].iloc[0])
    more = [
        m
        for m in ("macro_precision", "macro_f1")
        if m != metric and f"{m}_mean" in part.dropna(axis="columns", how="all")
    ]
    rows = [
        [
            "method", "seeds", metric, "sd", "worst", *more, "trained", "share",
            "up a round, of the large body", "bytes up / down", "GFLOPs", "preparing", "peak MB", "s",
        ]
    ]  # fmt: skip
    groups = dict(iter(part.groupby("method", sort=False)))
    order = sorted(groups, key=lambda name: groups[name][f"{metric}_mean"].mean() * (-1 if higher else 1))
    for name in order:
        lines = groups[name]
        mean = lines.mean(numeric_only=True)
        approach = APPROACHES[str(lines["approach"].iloc[0])]
        sent = (lines["bytes_up"] / lines["plan"].map(_sendings) / lines["body_bytes"]).mean()
        pooled = isinstance(approach, Together)
        rows.append(
            [
                _label(str(name), approach),
                str(len(lines)),
                _with_spread(lines[f"{metric}_mean"]),
                f"{mean[f'{metric}_sd']:.3f}",
                f"{mean[f'{metric}_worst']:.3f}",
                *(f"{mean[f'{m}_mean']:.3f}" for m in more),
                f"{mean['trained']:,.0f}",
                f"{mean['trained'] / mean['model']:.1%}" if mean["model"] else "",
                "data" if pooled else f"{sent:.2%}" if mean["bytes_up"] else "0",
                "data" if pooled else f"{mean['bytes_up']:,.0f} / {mean['bytes_down']:,.0f}",
                f"{mean['flops'] / 1e9:,.1f}",
                f"{mean['readying_flops'] / 1e9:,.1f}",
                "" if pd.isna(mean["peak_memory"]) else f"{mean['peak_memory'] / 1e6:,.0f}",
                "" if pd.isna(mean["seconds"]) else f"{mean['seconds']:.1f}",
            ]
        )
    return rows


def _span(values: "pd.Series[int]") -> str:
    least, most = values.min(), values.max()
    return f"{least}" if least == most else f"{least} to {most}"


def _with_spread(values: "pd.Series[float]") -> str:
    spread = f" ± {values.std():.3f}" if len(values) > 1 else ""
    return f"{values.mean():.3f}{spread}"


def difference_rows(gaps: dict[str, pd.DataFrame], task: str, partition: str, reference: str) -> Rows:
    """Return the paired differences of one task and partition."""
    rows = [[f"`{reference}` less", "mean", "interval", "p", "seeds ahead", "worst participant", "interval"]]
    here = {
        column: found[(found["task"] == task) & (found["partition"] == partition)] if len(found) else found
        for column, found in gaps.items()
    }
    for (_, mean), (_, worst) in zip(here["mean"].iterrows(), here["worst"].iterrows(), strict=True):
        sign = {1: " **ahead**", -1: " **behind**", 0: ""}
        rows.append(
            [
                f"`{mean['method']}`",
                f"{mean['mean']:+.3f}{sign[int(mean['sure'])]}",
                _interval(mean),
                "" if pd.isna(mean["p"]) else f"{mean['p']:.3f}",
                f"{mean['won']} of {mean['seeds']}",
                f"{worst['mean']:+.3f}{sign[int(worst['sure'])]}",
                _interval(worst),
            ]
        )
    return rows


def _interval(line: "pd.Series[Any]") -> str:
    if pd.isna(line["low"]):
        return "one seed" if line["seeds"] == 1 else "no spread"
    return f"{line['low']:+.3f} to {line['high']:+.3f}"


def _label(name: str, approach: Approach) -> str:
    return f"`{name}`" if name == approach.name else f"`{name}` ({approach.title})"


def _sendings(plan: str) -> int:
    """Return how often someone sends something in a round, over all rounds of a plan given as JSON."""
    raw = json.loads(plan)
    schedule = raw["schedule"]
    return int(schedule["rounds"]) * share_of(len(raw["participants"]), schedule["participation"])


def _curves(part: pd.DataFrame, axis: str) -> dict[str, list[tuple[float, float]]]:
    """Return for every method its points, mean over seeds; those without a curve, or all at zero, have none."""
    found = {}
    for name, lines in part.groupby("method", sort=False):
        runs = [json.loads(text) for text in lines["curve"]]
        rounds = min(map(len, runs))
        points = [
            (
                sum(run[i][axis] for run in runs) / len(runs),
                sum(run[i]["value"] for run in runs) / len(runs),
            )
            for i in range(rounds)
        ]
        if points and points[-1][0] > 0:
            found[str(name)] = points
    return found
