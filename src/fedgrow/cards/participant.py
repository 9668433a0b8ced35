"""The model card beside a grown model: where it came from and how exact its start was."""

from collections.abc import Mapping
from typing import Any

from fedgrow.config.plan import Plan
from fedgrow.markdown import table


def model_card(report: dict[str, Any], plan: Plan) -> str:
    """Return the card as Markdown with Hugging Face front matter."""
    names = list(report["grown"]["metrics"])
    rows = [["metric", "small model", "grown, at start", "grown"]]
    rows += [[n, *(f"{report[k]['metrics'][n]:.4f}" for k in ("small", "start", "grown"))] for n in names]
    parity = report["parity"]
    return "\n".join(
        [
            "---",
            "library_name: transformers",
            "tags: [fedgrow, model-growth, federated-learning]",
            "---",
            "",
            f"# {report['name']}: grown from a smaller model with fedgrow",
            "",
            f"A small model of shape {shape_text(report['small'])} grown to {shape_text(report['grown'])} by a private "
            f"Local-LiGO and a Global-LiGO ({plan.operator.kind}) learned together with {len(plan.participants) - 1} other "
            f"participants in {plan.schedule.rounds} rounds. Task: {plan.task}.",
            "",
            *table(rows),
            "",
            f"Measured on {report['examples']['test']} held-out examples of this participant.",
            "",
            f"Parity receipt: before any training the grown model's logits differed from the small model's by at most "
            f"{parity['max_abs']:.2e} (mean {parity['mean_abs']:.2e}; largest logit {parity['logits_max_abs']:.2f}; "
            f"{parity['examples']} examples, float64; declared {parity['declared']}).",
            "",
        ]
    )


def shape_text(entry: Mapping[str, Any]) -> str:
    """Return a shape in words."""
    return "{layers} layers x {width}, {heads} heads, FFN {ffn}".format(**entry["shape"])
