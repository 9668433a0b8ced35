"""The model card of a folder that ``fedgrow grow`` wrote: parent, method, shapes and the parity receipt."""

import json
from collections.abc import Mapping
from typing import Any

from fedgrow.architectures.table import SIZE_AXES
from fedgrow.markdown import table


def grown_card(report: Mapping[str, Any]) -> str:
    """Return the card as Markdown with Hugging Face front matter; ``report`` is ``GrowthPlan.describe`` and the receipt."""
    small, grown, method = report["shape"]["small"], report["shape"]["grown"], report["method"]
    parent, base = report["parent"], report["base_model"]
    rows = [["", "small model", "grown model"]]
    rows += [
        [name.replace("_", " "), str(small[name]), str(grown[name])]
        for name in SIZE_AXES
        if small[name] is not None
    ]
    rows.append(["parameters", f"{report['parameters']['small']:,}", f"{report['parameters']['grown']:,}"])
    return "\n".join(
        [
            "---",
            "library_name: transformers",
            *([f"base_model: {json.dumps(base)}"] if base else []),
            "tags: [fedgrow, model-growth]",
            "---",
            "",
            f"# {parent.rstrip('/').rpartition('/')[2]}, grown with fedgrow",
            "",
            f"Grown from `{parent}` ({report['family']}, head: {report['head'] or 'none'}) without any training, by the "
            f"method `{method['name']}`: {method['source']}. Seed {report['seed']}. Weights are stored in "
            f"{report['dtype']}.",
            "",
            *table(rows),
            "",
            f"How far this growth is declared to keep the small model's function: **{report['declared']}**.",
            "",
            "## Parity receipt",
            "",
            *_receipt(report["parity"]),
            "",
            "The grown model starts from what the small one can do; what it has room for, training has to bring.",
            "The small model's licence and terms of use go on to hold for it.",
            "",
        ]
    )


def _receipt(parity: Mapping[str, Any]) -> list[str]:
    if "skipped" in parity:
        return [f"Not measured: {parity['skipped']}."]
    rows = [["grown weights", "largest difference", "mean difference", "largest output of the small model"]]
    for name, text in (("growth", "before rounding"), ("folder", f"as stored, in {parity['dtype']}")):
        entry = parity[name]
        rows.append([text, *(f"{entry[k]:.3g}" for k in ("max_abs", "mean_abs", "logits_max_abs"))])
    return [
        f"Outputs ({parity['outputs']}) of both models, run by transformers in float64 (it keeps some norms and rotary "
        f"frequencies in float32) on {parity['inputs']}:",
        "",
        *table(rows),
    ]
