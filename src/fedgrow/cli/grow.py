"""``fedgrow grow``: one model to a larger one, folder to folder."""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from fedgrow.cli.app import app
from fedgrow.cli.progress import interruptible, plainly
from fedgrow.errors import FedgrowError

UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


@app.command()
def grow(
    model: Annotated[str, typer.Argument(help="A Hugging Face folder or hub id.", show_default=False)],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="SIZES",
            help="The sizes that grow, with commas: layers, decoder_layers, width, heads, kv_heads, head_size, ffn. "
            "Others stay, or follow: heads and FFN with the width, key-value heads with the heads, the second stack of "
            "an encoder-decoder with `layers` if both were equally deep.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; new or empty.", show_default=False)
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="exact, zero-block, lemon, net2net, fpi, aki, stack, interpolate or xavier; `fedgrow families` tells "
            "how exact each is."
        ),
    ] = "exact",
    seed: Annotated[int, typer.Option(min=0, help="Seed of what starts at random.")] = 0,
    parity: Annotated[
        str,
        typer.Option(
            help="Compare both models: `full`, `off`, or `auto`, where both fit into 2 GB in float64."
        ),
    ] = "auto",
    max_shard_size: Annotated[
        str, typer.Option(metavar="SIZE", help="Most bytes in one file of weights, such as 500MB.")
    ] = "5GB",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a grown model that is there.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be written.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Grow one model to a larger one, without training: a folder that loads with plain `from_pretrained`.

    Tensors are read, grown and written one by one, so a model need not fit into memory. Tokenizer and generation
    settings go along, and a model card with a parity receipt.

    For example:

    `fedgrow grow ./small --to layers=12 --out ./deeper`

    `fedgrow grow ./small --to layers=12,width=768 --method lemon --out ./larger --json`

    `fedgrow grow ./small --to ffn=4096 --dry-run`
    """
    from fedgrow.single.grow import parity_mode, plan_growth, write_grown

    mode = parity_mode(parity)
    if out is None and not dry_run:
        raise FedgrowError("say where to with --out, or add --dry-run to see what would be written")
    most = _bytes(max_shard_size)
    plan = plan_growth(model, to, method, seed=seed)
    if dry_run:
        if out is not None:
            plan.check_out(out, overwrite)
        _show(plan.describe(), as_json)
        return
    assert out is not None
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with interruptible(plainly(console), "nothing was written"), progress:
        task = progress.add_task("growing", total=plan.bytes)
        report = write_grown(
            plan,
            out,
            parity=mode,
            max_shard_size=most,
            overwrite=overwrite,
            progress=lambda count: progress.advance(task, count),
        )
    _show(report, as_json)


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+)\s*([KMG]B)?", text.strip(), re.IGNORECASE)
    if found is None or int(found[1]) == 0:
        raise FedgrowError(f"--max-shard-size {text}: write a number of bytes, such as 500MB or 5GB")
    return int(found[1]) * UNITS[(found[2] or "").upper()]


def _kept(report: dict[str, Any], before: int, after: int) -> str:
    """Say how far the grown model is declared to compute what the small one does, and which width would keep it."""
    if report["declared"] != "approximate" or report["method"]["name"] != "exact":
        return str(report["declared"])
    times = after // before
    whole = f"width={before * times} or width={before * (times + 1)}" if times > 1 else f"width={before * 2}"
    return f"approximate; a {report['family']} keeps it at a multiple of the width {before}, such as {whole}"


def _show(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(report, indent=2, ensure_ascii=False))
        return
    from fedgrow.architectures import Shape

    before, after = (Shape(**report["shape"][which]) for which in ("small", "grown"))
    console = Console()
    lines = [
        f"{report['family']}, head: {report['head'] or 'none'}",
        f"shape       {before}  ->  {after}",
        f"parameters  {report['parameters']['small']:,}  ->  {report['parameters']['grown']:,}",
        f"method      {report['method']['name']}",
        f"function    {_kept(report, before.width, after.width)}",
        f"weights     {report['bytes']:,} bytes in {report['dtype']}",
    ]
    if not report["streamed"]:
        lines.append(
            "memory      the small model is held whole: transformers has to join or split its tensors"
        )
    parity = report.get("parity")
    if parity and "skipped" in parity:
        lines.append(f"parity      not measured: {parity['skipped']}")
    elif parity:
        growth, folder = parity["growth"], parity["folder"]
        lines.append(
            f"parity      outputs differ by at most {growth['max_abs']:.2e} before rounding, {folder['max_abs']:.2e} as "
            f"stored (largest output {growth['logits_max_abs']:.2f})"
        )
    if "folder" in report:
        lines.append(f"written     {report['folder']}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
