"""A study: methods x tasks x partitions x seeds, every combination of them one experiment."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from fedgrow.config.plan import NAME, Section

Settings = dict[str, Any]
Names = Annotated[str, Field(pattern=NAME)]

SETTING = ("operator", "local_operator", "schedule", "training", "strategy", "compression", "intermediate")
"""What a method may set: how models are grown and trained, never what they are compared on."""


class MethodPlan(Section):
    """One method of a study: an approach, and the settings of the plan that it changes."""

    approach: str = Field("dual-ligo", description="Fed-Grow, or a baseline's name")
    set: Settings = Field(default_factory=dict, description="what it changes, as dotted.key: value")

    @model_validator(mode="after")
    def _fair(self) -> Self:
        for key in self.set:
            if key.partition(".")[0] not in SETTING:
                raise ValueError(
                    f"{key} is the same for all methods; a method may set {', '.join(SETTING)}, and what is in them"
                )
        return self


class TaskPlan(Section):
    """One task of a study: a plan, and changes to it."""

    plan: str | None = Field(None, description="a plan's file or name; default: the study's")
    set: Settings = Field(default_factory=dict, description="changes to it, as dotted.key: value")


def _as_it_is() -> dict[str, TaskPlan]:
    return {"plan": TaskPlan()}


def _as_dealt() -> dict[str, Settings]:
    return {"plan": {}}


class Study(Section):
    """A comparison of methods, on the same data, small models, seeds and budget.

    Attributes:
        name: its name.
        plan: the plan that tasks start from: a file, or the name of a shipped one.
        paths: paths of the plans, by name.
        set: changes to the plans of all experiments, as ``dotted.key: value``.
        methods: what is compared; the first is the one that the others are compared with.
        tasks: what on; default: the plan as it is.
        partitions: how the data is dealt out: settings under ``partition``; default: as the plan says.
        seeds: seeds of everything that is drawn.
    """

    name: Names = Field("study", description="of its folder and report")
    plan: str | None = Field(
        None, description="the plan that tasks start from: a file, or a shipped one's name"
    )
    paths: dict[str, str] = Field(default_factory=dict, description="of the plans, by name")
    set: Settings = Field(default_factory=dict, description="changes to all plans, as dotted.key: value")
    methods: Annotated[dict[Names, MethodPlan], Field(min_length=1)] = Field(
        description="what is compared; the first is the one that the others are compared with"
    )
    tasks: dict[Names, TaskPlan] = Field(
        default_factory=_as_it_is, min_length=1, description="what on; default: the plan as it is"
    )
    partitions: dict[Names, Settings] = Field(
        default_factory=_as_dealt, min_length=1, description="settings of partition; default: the plan's"
    )
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = Field(
        (0, 1, 2), description="one experiment each"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: {list(self.seeds)} has one twice")
        for name, task in self.tasks.items():
            if (task.plan or self.plan) is None:
                raise ValueError(f"tasks.{name}: neither it nor the study names a plan")
        return self
