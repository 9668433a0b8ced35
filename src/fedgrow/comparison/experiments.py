"""From a study to its experiments: one plan for every method, task, partition and seed."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fedgrow.approaches import APPROACHES, BASELINES
from fedgrow.approaches.schedule import total_steps
from fedgrow.config.load import load_plan, parse_plan, plan_paths, used_paths
from fedgrow.config.plan import Plan
from fedgrow.config.study import MethodPlan, Settings, Study
from fedgrow.config.text import write_yaml
from fedgrow.errors import FedgrowError
from fedgrow.federated.resolve import resolve
from fedgrow.tasks import TASKS

MERGED = ("schedule", "training", "prepare")


@dataclass(frozen=True)
class Setting:
    """What methods are compared on: a task, a partition and a seed, and the resolved plan of these."""

    task: str
    partition: str
    seed: int
    plan: Plan

    @property
    def name(self) -> str:
        """The setting's folder."""
        return f"{self.task}-{self.partition}-{self.seed}"


@dataclass(frozen=True)
class Experiment:
    """One method in one setting."""

    method: str
    approach: str
    setting: Setting
    plan: Plan

    @property
    def name(self) -> str:
        """The experiment's folder."""
        return f"{self.method}/{self.setting.name}"


def settings(study: Study) -> list[Setting]:
    """Return the settings of a study, seed by seed, so that an early stop leaves whole comparisons.

    Raises:
        FedgrowError: a plan is wrong, or two settings would share a folder; the text names the setting.
    """
    found: list[Setting] = []
    for seed in study.seeds:
        for task, entry in study.tasks.items():
            for partition, dealt in study.partitions.items():
                used = plan_paths(entry.plan or study.plan or "") | used_paths([study.set, entry.set])
                changes = (
                    {f"paths.{name}": path for name, path in study.paths.items() if name in used},
                    study.set,
                    entry.set,
                    {f"partition.{key}": value for key, value in dealt.items()},
                    {"seed": seed, "baselines": []},
                )
                plan = _plan(
                    entry.plan or study.plan or "",
                    changes,
                    f"task {task}, partition {partition}, seed {seed}",
                )
                _check_metrics(plan, f"{task}, {partition}")
                found.append(Setting(task, partition, seed, plan))
    names = [setting.name for setting in found]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise FedgrowError(
            f"two settings would be called {twice!r}, from task, partition and seed; name tasks or partitions otherwise"
        )
    return found


def _check_metrics(plan: Plan, what: str) -> None:
    compared = TASKS[plan.task].metrics[0]
    if compared not in plan.metrics:
        raise FedgrowError(
            f"{what}: methods are compared by {compared}, and metrics lists {', '.join(plan.metrics)}; add it"
        )


def experiments(study: Study, setting: Setting) -> list[Experiment]:
    """Return the experiments of a setting: its plan, with what each method sets.

    Methods whose approach does not fit the setting's task are left out.

    Raises:
        FedgrowError: an approach is unknown, a method's settings are wrong, or it has another budget than the rest; the
            text names the method.
    """
    found = []
    for name, method in study.methods.items():
        if method.approach not in APPROACHES:
            raise FedgrowError(
                f"methods.{name}.approach: {method.approach!r} is unknown; choose from {', '.join(APPROACHES)}"
            )
        if not fits(method.approach, setting.plan.task):
            continue
        _check_settings(name, method)
        listed = {"baselines": [method.approach] if method.approach in BASELINES else []}
        plan = _changed(setting.plan, method.set | listed, f"methods.{name} on {setting.name}")
        _check_budget(name, plan, setting)
        found.append(Experiment(name, method.approach, setting, plan))
    return found


def _check_settings(name: str, method: MethodPlan) -> None:
    """Refuse a setting that the method's approach does not go by: it would change its name and nothing else."""
    goes_by = APPROACHES[method.approach].goes_by
    for key in method.set:
        if key.partition(".")[0] not in goes_by:
            raise FedgrowError(
                f"methods.{name}.set.{key}: approach {method.approach!r} does not go by it; "
                f"it goes by {', '.join(goes_by) or 'no setting'}"
            )


def _check_budget(method: str, plan: Plan, setting: Setting) -> None:
    budgets = [
        (total_steps(p), p.schedule.participation, p.training.batch_size, p.training.max_length)
        for p in (plan, setting.plan)
    ]
    if budgets[0] != budgets[1]:
        mine, due = (
            "{} steps, participation {}, {} examples a step, of at most {} tokens".format(*b) for b in budgets
        )
        raise FedgrowError(
            f"methods.{method} on {setting.name}: a participant would have {mine}; the others have {due}; "
            "methods are compared at one budget, so set schedule.rounds, steps, local_steps and finetune_steps to it"
        )


def fits(approach: str, task: str) -> bool:
    """Tell whether an approach fits a task."""
    tasks = APPROACHES[approach].tasks
    return tasks is None or task in tasks


def bare(plan: Plan) -> Plan:
    """Return the plan with local paths cut to their last names: what a result says of its plan on any machine."""
    return plan.with_paths(lambda value: Path(value).name if Path(value).is_absolute() else value)


def _plan(source: str, changes: Iterable[Settings], what: str) -> Plan:
    try:
        return resolve(load_plan(source, [one for part in changes for one in as_overrides(part)]))
    except FedgrowError as error:
        raise FedgrowError(f"{what}: {error}") from None


def _changed(plan: Plan, changes: Settings, what: str) -> Plan:
    try:
        text = write_yaml(plan.model_dump(mode="json"))
        return resolve(parse_plan(text, plan.name, Path.cwd(), as_overrides(changes)))
    except FedgrowError as error:
        raise FedgrowError(f"{what}: {error}") from None


def as_overrides(changes: Settings) -> list[str]:
    """Return settings as ``dotted.key=value``, the value in YAML.

    A mapping given for one of ``MERGED`` changes what it names and leaves the rest; any other replaces the whole setting,
    for what may stand in an operator, say, hangs on its kind.
    """
    found: list[str] = []
    for key, value in changes.items():
        if key in MERGED and isinstance(value, dict):
            found += as_overrides({f"{key}.{name}": part for name, part in value.items()})
        else:
            found.append(f"{key}={write_yaml(value, default_flow_style=True, width=math.inf)}")
    return found
