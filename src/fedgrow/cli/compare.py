"""``fedgrow compare``: methods, tasks, partitions and seeds, all against all."""

import json
import re
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from fedgrow.cli.app import app
from fedgrow.cli.progress import interruptible, plainly, step_bars, table_console
from fedgrow.config.shipped import shipped_studies
from fedgrow.errors import FedgrowError


@app.command()
def compare(
    study: Annotated[
        str,
        typer.Argument(
            help=f"A study in YAML, or a shipped one: {', '.join(shipped_studies())}.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder; one that was begun goes on. Default: `studies/<name>`.", show_default=False
        ),
    ] = None,
    paths: Annotated[
        list[str] | None,
        typer.Option(
            "--path", metavar="NAME=PATH", help="A path of the study's plans, such as data=FILE; repeatable."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a setting of the study, such as seeds=[0,1]; repeatable.",
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Experiments at a time. Default: the cores.")
    ] = None,
    known: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="A `results.parquet` of this study from elsewhere, or earlier; what it holds is not run again. Repeatable.",
        ),
    ] = None,
    only_report: Annotated[
        bool, typer.Option("--report", help="Run nothing; write the report of what is done.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and say what would be run.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the results as JSON instead of tables.")
    ] = False,
) -> None:
    """Compare methods on the same data, small models, seeds and budget.

    Every experiment is a line of `results.parquet`; `report.md` and `report.html` hold tables, paired differences with their
    confidence intervals, and learning curves against rounds, bytes and FLOPs. The same command goes on where it was
    stopped; methods, tasks, partitions and seeds may be added to a study that was begun.
    """
    from fedgrow.comparison.report import write_report
    from fedgrow.comparison.results import as_records, gather, write_table
    from fedgrow.comparison.run import STUDY, StudyRun, cores
    from fedgrow.config.load import load_study

    loaded = load_study(study, [*(settings or []), *(f"paths.{path}" for path in paths or [])])
    folder = out or Path("studies") / loaded.name
    work = StudyRun(loaded, folder, known or [])
    unprepared, left = work.to_do()
    if only_report and not known and not (folder / STUDY).is_file():
        raise FedgrowError(
            f"--report: there is no study in {folder}; name its folder as --out, or leave --report out"
        )
    console = Console(stderr=True)
    if dry_run:
        work.check_data()
        done = len(work.all()) - len(left)
        print(f"{len(work.all())} experiments, {done} done; {len(unprepared)} settings to prepare")
        for one in left:
            print(f"  {one.name}")
        return
    failed: dict[str, str] = {}
    if left and not only_report:
        with step_bars(console, as_json=as_json) as progress:
            bars = {
                "setting": progress.add_task("small models", total=len(unprepared), note=""),
                "experiment": progress.add_task("experiments", total=len(left), note=""),
            }

            def told(kind: str, name: str, reason: str | None) -> None:
                progress.update(bars[kind], advance=1, note=name)
                if reason is not None:
                    progress.console.print(
                        f"failed: {name}: {reason}", style="red", soft_wrap=True, markup=False
                    )

            with interruptible(plainly(console), "the same command goes on where it was stopped"):
                failed = work.run(jobs or cores(), told)
    if not (folder / STUDY).is_file():  # all of it was known
        work.write_study()
    frame = gather(work)
    _, left = work.to_do()
    write_table(frame, folder)
    write_report(loaded, frame, folder, failed, len(left))
    if as_json:
        print(json.dumps(as_records(frame), indent=2, ensure_ascii=False))
    else:
        shown = re.sub(r"^!\[.*\n", "", (folder / "report.md").read_text("utf-8"), flags=re.MULTILINE)
        table_console(200).print(Markdown(shown))
        console.print(
            f"results: {folder}/results.parquet, {folder}/report.html", soft_wrap=True, highlight=False
        )
    if failed:
        sys.exit(1)
