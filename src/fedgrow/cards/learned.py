"""The model card of a model grown by an operator that was learned on local data (``fedgrow learn``)."""

import json
from collections.abc import Mapping
from typing import Any

from fedgrow.cards.participant import shape_text
from fedgrow.markdown import table

COLUMNS = {
    "small": "small model",
    "start": "grown, at start",
    "operator": "operator trained",
    "finetuned": "all weights trained",
}


def metric_rows(record: Mapping[str, Any]) -> list[list[str]]:
    """Return the metrics before and after as a table."""
    metrics = record["metrics"]
    columns = {when: title for when, title in COLUMNS.items() if when in metrics}
    rows = [["metric", *columns.values()]]
    return rows + [[name, *(f"{metrics[when][name]:.4f}" for when in columns)] for name in metrics["small"]]


def caveat(record: Mapping[str, Any]) -> str:
    """Say on what the metrics are measured, and which columns are of a head that nothing has been taught yet."""
    counts = record["examples"]
    new = ", ".join(record["made_anew"])
    return (
        f"Task {record['task']}: {counts['train']:,} examples to train on, metrics on {counts['test']:,} held-out ones."
        + (
            f" Made anew, at random: {new}. So the small model knows nothing of the task yet, nor does the grown one at the "
            "start: compare with the small model fine-tuned locally (fedgrow simulate, baseline small)."
            if new
            else ""
        )
    )


def learned_card(record: Mapping[str, Any]) -> str:
    """Return the card as Markdown with Hugging Face front matter.

    Args:
        record: what ``single.learn`` knows of the growth.
    """
    parity, steps, operator = (record[k] for k in ("parity", "steps", "operator"))
    base = record["base_model"]
    trained = (
        f"an operator of {operator['numbers']:,} numbers, started as {operator['start']}, "
        f"trained for {steps['operator']} steps"
    )
    if steps["finetune"]:
        trained += f", then all weights for {steps['finetune']} steps"
    return "\n".join(
        [
            "---",
            "library_name: transformers",
            *([f"base_model: {json.dumps(base)}"] if base else []),
            "tags: [fedgrow, model-growth, ligo]",
            "---",
            "",
            f"# {record['model'].rpartition('/')[2]}, grown with fedgrow",
            "",
            f"Parent: {record['model']}, {shape_text(record['small'])}, "
            f"{record['small']['parameters']:,} parameters. Grown to {shape_text(record['grown'])}, "
            f"{record['grown']['parameters']:,} parameters.",
            "",
            f"Method: LiGO ({operator['kind']}): {trained}; batches of "
            f"{record['training']['batch_size']}, seed {record['seed']}. Data: {record['data']['source']}.",
            "",
            caveat(record),
            "",
            *table(metric_rows(record)),
            "",
            f"Parity receipt: before any training the grown model's logits differed from the small model's by at most "
            f"{parity['max_abs']:.2e} (mean {parity['mean_abs']:.2e}; largest logit {parity['logits_max_abs']:.2f}; "
            f"{parity['examples']} examples, float64; declared {parity['declared']}).",
            "",
        ]
    )
