"""The model card of a model grown by an operator that was learned on local data (``fedgrow learn``)."""

from collections.abc import Mapping
from typing import Any

from fedgrow.report.markdown_table import table
from fedgrow.report.model_card import shape_text

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


def learned_card(record: Mapping[str, Any]) -> str:
    """Return the card as Markdown with Hugging Face front matter.

    Args:
        record: what ``training.learning`` knows of the growth.
    """
    parity, steps, operator = (record[k] for k in ("parity", "steps", "operator"))
    base = record["base_model"]
    trained = (
        f"an operator of {operator['numbers']:,} numbers, started as {operator['start']}, "
        f"trained for {steps['operator']} steps"
    )
    if steps["finetune"]:
        trained += f", then all weights for {steps['finetune']} steps"
    made = (
        f" Made anew before growth, at random: {', '.join(record['made_anew'])}."
        if record["made_anew"]
        else ""
    )
    return "\n".join(
        [
            "---",
            "library_name: transformers",
            *([f"base_model: {base}"] if base else []),
            "tags: [fedgrow, model-growth, ligo]",
            "---",
            "",
            f"# {record['model'].rpartition('/')[2]}, grown with fedgrow",
            "",
            f"Parent: {record['model']}, {shape_text(record['small'])}, "
            f"{record['small']['parameters']:,} parameters. Grown to {shape_text(record['grown'])}, "
            f"{record['grown']['parameters']:,} parameters.{made}",
            "",
            f"Method: LiGO ({operator['kind']}): {trained}. Task: {record['task']}; batches of "
            f"{record['training']['batch_size']}, seed {record['seed']}.",
            "",
            f"Data: {record['data']['source']}, {record['examples']['train']} "
            f"examples to train on; metrics on {record['examples']['test']} held-out ones:",
            "",
            *table(metric_rows(record)),
            "",
            f"Parity receipt: before any training the grown model's logits differed from the small model's by at most "
            f"{parity['max_abs']:.2e} (mean {parity['mean_abs']:.2e}; largest logit {parity['logits_max_abs']:.2f}; "
            f"{parity['examples']} examples, float64; declared {parity['declared']}).",
            "",
        ]
    )
