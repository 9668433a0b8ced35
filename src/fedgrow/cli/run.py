"""What ``demo``, ``simulate`` and ``server`` share: progress bars, the final table, JSON, and Ctrl-C."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown
from rich.progress import Progress

from fedgrow.cli.progress import interruptible, plainly, step_bars, table_console
from fedgrow.config.plan import Plan
from fedgrow.disk.events import listen, stop_listening
from fedgrow.federated.simulate import simulate
from fedgrow.markdown import table
from fedgrow.report.markdown import method_rows, participant_rows, verdict
from fedgrow.tasks import TASKS


def run(plan: Plan | None, out: Path, *, engine: str, resume: bool, as_json: bool) -> None:
    """Run a plan with progress on stderr, and print the results on stdout."""
    console = Console(stderr=True)
    progress = step_bars(console, as_json=as_json)
    again = f"go on with: fedgrow simulate --resume --out {out}"
    with progress, interruptible(plainly(console), again):
        listen(out, Bars(progress, plan))
        try:
            summary = simulate(plan, out, engine=engine, resume=resume)
        finally:
            stop_listening(out)
    if as_json:
        print(json.dumps(summary, indent=2, ensure_ascii=False))
        return
    show(summary, out)


class Bars:
    """Progress bars fed by a run's events: one for the rounds, one for participants in the step at hand."""

    def __init__(self, progress: Progress, plan: Plan | None) -> None:
        self.progress, self.plan = progress, plan
        self.people = progress.add_task("participants", total=None, note="")
        self.rounds: dict[str, Any] = {}

    def __call__(self, event: dict[str, Any]) -> None:
        """Take up one event."""
        kind = event["event"]
        if kind == "started":
            self.rounds[event["method"]] = self.progress.add_task(
                "rounds" if event["method"] == "dual-ligo" else event["method"],
                total=event["rounds"],
                completed=event["from_round"],
                note="",
            )
        elif kind == "asked":
            self.progress.update(
                self.people, description=event["step"], total=event["participants"], completed=0
            )
        elif kind in ("reply", "answered"):  # a participant's own word; a coordinator's of a site
            self.progress.update(self.people, advance=1, note="")
        elif kind == "baseline":
            self.progress.update(
                self.people, description=f"baseline {event['name']}", total=event["participants"], completed=0
            )
        elif kind == "round":
            losses = event["metrics"].get("train_loss")
            known = [loss for loss in losses or () if loss is not None]
            loss = f"loss {sum(known) / len(known):.3f}  " if known else ""
            note = f"{loss}{event['bytes_up'] / 1e6:.2f} MB up  {event['bytes_down'] / 1e6:.2f} MB down"
            self.progress.update(self.rounds[event["method"]], completed=event["round"], note=note)


def show(summary: dict[str, Any], out: Path) -> None:
    """Print the final tables."""
    task = TASKS[summary["task"]]
    metric = task.metrics[0]
    lines = [
        *table(method_rows(summary, task.metrics, task.higher_is_better(metric))),
        "",
        *table(participant_rows(summary, metric)),
        "",
        verdict(summary, metric, task.higher_is_better(metric)),
    ]
    console = table_console()
    console.print(Markdown("\n".join(lines)))
    console.print(
        f"\nGrown models: {out}/participants/NAME/model   report: {out}/report.md",
        soft_wrap=True,
        highlight=False,
    )
