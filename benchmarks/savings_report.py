"""The report of ``savings.py``: a table and curves in Markdown, from the results in its folder."""

import statistics
from pathlib import Path
from typing import Any

import numpy as np

from fedgrow.disk.atomic import read_json
from fedgrow.markdown import table

SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
Runs = dict[str, dict[int, dict[str, Any]]]  # by method and seed


NOTES = (
    "Read beside it: LiGO's own paper reports 44.7% (BERT) and 22.5% (GPT-2) at other sizes. A run that never reaches "
    "the target counts as a saving of 0. Most of what is saved is the loss that exact growth keeps; training an operator "
    "for 30 steps adds nothing that these seeds could tell from the exact start. One thing was changed after a reporting "
    "seed was seen: BERT's ladder of horizons took too long on seed 0, so all its methods run over the whole budget, "
    "which should make its savings smaller, not larger.",
)


def collect(out: Path, family: str, methods: list[str]) -> Runs:
    """Return what is done, of seeds for which the target is known."""
    found: Runs = {}
    for name in ("small", "scratch", *methods):
        for path in sorted((out / "runs").glob(f"{family}-*-{name.replace(' ', '_')}.json")):
            found.setdefault(name, {})[int(path.stem.split("-")[1])] = read_json(path)
    return found


def percent(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.1%}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.1%} to {max(values):.1%})"


def saving_rows(runs: Runs) -> list[list[str]]:
    rows = [
        [
            "method",
            "saving",
            "small's pre-training counted",
            "reached",
            "loss at start",
            "steps: operator + plain",
        ]
    ]
    order = sorted(
        (name for name in runs if name not in ("small", "scratch")),
        key=lambda name: -statistics.mean(_saving(r) for r in runs[name].values()),
    )
    for name in order:
        results = runs[name]
        savings = [_saving(r) for r in results.values()]
        costs = [runs["small"][s]["flops"] / runs["scratch"][s]["flops"] for s in results]
        steps = [r["curve"][-1][0] for r in results.values()]
        operator = {r["method"]["operator_steps"] for r in results.values()}
        rows.append(
            [
                name,
                percent(savings),
                f"{statistics.mean(s - c for s, c in zip(savings, costs, strict=True)):.1%}",
                f"{sum(r['reached'] for r in results.values())} of {len(results)}",
                f"{statistics.mean(r['before'] for r in results.values()):.3f}",
                f"{'/'.join(map(str, sorted(operator)))} + {', '.join(map(str, steps))}",
            ]
        )
    return rows


def _saving(result: dict[str, Any]) -> float:
    """A run that never reaches the target saves nothing."""
    return float(result["saving"]) if result["reached"] else 0.0


def passed(runs: Runs, seed: int) -> float:
    """Return the share of its budget after which the run from scratch passes the small model's final loss."""
    small, curve = runs["small"][seed]["curve"][-1][1], runs["scratch"][seed]["curve"]
    return next(step for step, loss in curve if loss <= small) / curve[-1][0]


def points(result: dict[str, Any], scratch: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Return a curve: arithmetic as a share of that from scratch, and held-out loss."""
    operator = result.get("operator_flops", 0) / scratch["flops"]
    share = [operator + step * scratch["flops_per_step"] / scratch["flops"] for step, _ in result["curve"]]
    losses = [loss for _, loss in result["curve"]]
    return ([0.0, *share], [result["before"], *losses]) if operator else (share, losses)


def curve_rows(runs: Runs) -> list[list[str]]:
    rows = [["arithmetic", *(f"{share:.0%}" for share in SHARES)]]
    for name in (n for n in runs if n != "small"):
        curves = [points(r, runs["scratch"][seed]) for seed, r in runs[name].items()]
        cells = []
        for share in SHARES:
            at = [float(np.interp(share, x, y)) for x, y in curves if share <= x[-1] + 1e-9]
            cells.append(f"{statistics.mean(at):.2f}" if len(at) == len(curves) else "")
        rows.append([name, *cells])
    return rows


def figure(path: Path, families: dict[str, Runs]) -> bool:
    """Draw the curves of the first seed, if matplotlib is at hand."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("svg")
    from matplotlib import pyplot

    drawing, panes = pyplot.subplots(1, len(families), figsize=(7 * len(families), 5), squeeze=False)
    for pane, (family, runs) in zip(panes[0], families.items(), strict=True):
        for name in (n for n in runs if n != "small"):
            seed = min(runs[name])
            pane.plot(*points(runs[name][seed], runs["scratch"][seed]), label=name, linewidth=1)
        pane.set(title=family, xlabel="arithmetic, share of that from scratch", ylabel="held-out loss")
        pane.legend(fontsize=7)
    drawing.savefig(path, bbox_inches="tight")
    return True


def write(out: Path, families: dict[str, list[str]], sizes: list[str], file: Path) -> None:
    """Write the report.

    Args:
        out: the folder of results.
        families: the methods of every family.
        sizes: lines that say what was run.
        file: where to; the figure is put beside it.
    """
    found = {f: runs for f, methods in families.items() if "scratch" in (runs := collect(out, f, methods))}
    lines = ["# What growing saves", "", *sizes, "", *NOTES]
    for family, runs in found.items():
        targets = [r["target"] for r in runs["scratch"].values()]
        small = [r["curve"][-1][1] for r in runs["small"].values()]
        cost = [runs["small"][s]["flops"] / r["flops"] for s, r in runs["scratch"].items()]
        lines += [
            "",
            f"## {family}",
            "",
            f"Target (from scratch, whole budget): held-out loss {', '.join(f'{t:.3f}' for t in targets)}; small model "
            f"{', '.join(f'{s:.3f}' for s in small)}, its pre-training {statistics.mean(cost):.0%} of the budget; "
            f"seeds {', '.join(map(str, runs['scratch']))}. From scratch the small model's loss is passed after "
            f"{statistics.mean(passed(runs, s) for s in runs['scratch']):.0%} of the budget.",
            "",
            *table(saving_rows(runs)),
            "",
            "Held-out loss by arithmetic spent (mean over seeds; empty once a run has reached the target):",
            "",
            *table(curve_rows(runs)),
        ]
    picture = file.with_suffix(".svg")
    if figure(picture, found):
        lines += ["", f"![curves of the first seed]({picture.name})"]
    file.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"wrote {file}")
