"""``fedgrow learn``: train a growth operator for one model on local data, and save the grown model."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markdown import Markdown

from fedgrow.cli.app import app
from fedgrow.cli.progress import interruptible, plainly, step_bars, table_console
from fedgrow.errors import FedgrowError

# Errors name the settings of plans; here they are options.
OPTIONS = {
    "data.source": "--data",
    "data.split": "--split",
    "data.text": "--text",
    "data.image": "--image",
    "data.label": "--label",
    **{
        f"data.{role}": f"--column {role}="
        for role in ("words", "tags", "question", "context", "answer_start", "answer_end", "answer")
    },
    "data.limit": "--limit",
    "data.test_fraction": "--test-fraction",
    "training.batch_size": "--batch-size",
    "training.max_length": "--max-length",
    "training.model_learning_rate": "--finetune-learning-rate",
    "operator.learning_rate": "--learning-rate",
    "operator.residual": "--residual",
    "operator.rank": "--rank",
    "participants[].tokenizer": "--tokenizer",
    "finetune_steps": "--finetune-steps",
    "participant model: ": "",
}


@app.command()
def learn(
    model: Annotated[str, typer.Argument(help="Hugging Face folder or hub id of the small model.")],
    data: Annotated[
        str,
        typer.Option(help="A .parquet, .csv, .jsonl, .json or .npz file, or a hub id.", show_default=False),
    ],
    to: Annotated[
        str, typer.Option(help="Sizes to grow to, such as layers=6,width=512.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder to write; new or empty.", show_default=False)],
    task: Annotated[
        str | None, typer.Option(help="Default: that of the model's head.", show_default=False)
    ] = None,
    text: Annotated[str | None, typer.Option(help="Column of texts.", show_default=False)] = None,
    label: Annotated[str | None, typer.Option(help="Column of classes.", show_default=False)] = None,
    image: Annotated[str | None, typer.Option(help="Column of images.", show_default=False)] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="ROLE=NAME for other columns: words, tags, question, context, answer, answer_start, answer_end. "
            "May be repeated.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of a hub's data set.")] = "train",
    limit: Annotated[
        int | None, typer.Option(help="Use only so many rows, drawn by the seed.", show_default=False)
    ] = None,
    test_fraction: Annotated[float, typer.Option(help="Part held out for the metrics.")] = 0.1,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="Folder or hub id of a tokenizer, if not the model's.", show_default=False),
    ] = None,
    operator: Annotated[str, typer.Option(help="Kind of operator: see `fedgrow families`.")] = "low-rank",
    start: Annotated[str, typer.Option(help="What the operator starts from.")] = "exact",
    rank: Annotated[
        int | None, typer.Option(help="Rank of the learned part. Default: by kind.", show_default=False)
    ] = None,
    residual: Annotated[
        int | None,
        typer.Option(
            help="Rank of a learned term added to every grown weight of the blocks; biases and norms get one, too.",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps that train the operator.")] = 100,
    batch_size: Annotated[int, typer.Option(help="Examples a step.")] = 32,
    max_length: Annotated[int, typer.Option(help="Tokens; the longest text or block.")] = 128,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Learning rate of the operator's maps; the others scale with it. Default: by kind and width.",
            show_default=False,
        ),
    ] = None,
    finetune_steps: Annotated[int, typer.Option(help="Steps that train all large weights afterwards.")] = 0,
    finetune_learning_rate: Annotated[float, typer.Option(help="Learning rate of the fine-tuning.")] = 1e-4,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print learned.json instead of tables.")] = False,
) -> None:
    """Train a growth operator (LiGO) for one model on local data, no federation, and save the grown model.

    The folder loads with plain `from_pretrained`; its model card says what was done and what it brought. It is there
    only when all is done: Ctrl-C and errors leave nothing behind.
    """
    from fedgrow.single.learn import learn as run

    console = Console(stderr=True)
    bars = step_bars(console, as_json=as_json)
    parts: dict[str, Any] = {}

    def progress(part: str, step: int, total: int, loss: float) -> None:
        if part not in parts:
            parts[part] = bars.add_task(part, total=total, note="")
        bars.update(parts[part], completed=step, note=f"loss {loss:.3f}")

    try:
        with interruptible(plainly(console), f"nothing was written to {out}"), bars:
            record = run(
                model,
                data=data,
                to=to,
                out=out,
                task=task,
                text=text,
                image=image,
                label=label,
                columns=_columns(column or []),
                split=split,
                limit=limit,
                test_fraction=test_fraction,
                tokenizer=tokenizer,
                operator=operator,
                start=start,
                rank=rank,
                residual=residual,
                steps=steps,
                batch_size=batch_size,
                max_length=max_length,
                learning_rate=learning_rate,
                finetune_steps=finetune_steps,
                finetune_learning_rate=finetune_learning_rate,
                seed=seed,
                progress=progress,
            )
    except FedgrowError as error:
        raise FedgrowError(_as_options(str(error))) from error.__cause__
    if as_json:
        print(json.dumps(record, indent=2, ensure_ascii=False))
        return
    _show(record, out)


def _columns(options: list[str]) -> dict[str, str]:
    for option in options:
        if "=" not in option:
            raise FedgrowError(f"--column {option}: expected ROLE=NAME, such as words=tokens")
    return dict(option.split("=", 1) for option in options)


def _as_options(text: str) -> str:
    for setting, option in OPTIONS.items():
        text = text.replace(setting, option)
    return text


def _show(record: dict[str, Any], out: Path) -> None:
    from fedgrow.cards.learned import caveat, metric_rows
    from fedgrow.markdown import table

    console = table_console()
    console.print(Markdown("\n".join(table(metric_rows(record)))))
    parity = record["parity"]
    console.print(
        f"\n{caveat(record)}\nparity at the start: logits differ by at most {parity['max_abs']:.1e} "
        f"(declared {parity['declared']})\n"
        f"grown model: {out}",
        soft_wrap=True,
        highlight=False,
    )
