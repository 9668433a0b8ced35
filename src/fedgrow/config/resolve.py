"""Resolve a plan before anything is written: every model is known, of one family, and can grow all the way."""

from collections.abc import Mapping

from transformers import AutoConfig

from fedgrow.architectures import Family, Shape, families, family_of, shape_of
from fedgrow.architectures.models import load_config
from fedgrow.baselines import BASELINES, TASKS_OF
from fedgrow.config.plan import OperatorPlan, ParticipantPlan, Plan
from fedgrow.errors import FedgrowError, ShapeError
from fedgrow.federated.strategy import STRATEGIES, Rounds
from fedgrow.growth import OPERATORS
from fedgrow.growth.intermediate import smallest_intermediate
from fedgrow.methods.ligo import make_operator
from fedgrow.tasks import TASKS

FROM_DATA = ("image_size", "num_channels", "num_labels", "id2label", "label2id", "vocab_size")


def resolve(plan: Plan) -> Plan:
    """Return the plan with its family and intermediate shape settled.

    Raises:
        FedgrowError: a model is missing, of another family, or has no head for the task.
        ShapeError: a shape cannot grow; the text names the participant, the axis and both sizes.
    """
    _registered("operator.kind", plan.operator.kind, OPERATORS)
    _registered("local_operator.kind", plan.local_operator.kind, OPERATORS)
    _registered("strategy.name", plan.strategy.name, STRATEGIES)
    for baseline in plan.baselines:
        _registered("baselines", baseline, BASELINES)
        if plan.task not in TASKS_OF.get(baseline, (plan.task,)):
            raise FedgrowError(
                f"baselines: {baseline} fits {', '.join(TASKS_OF[baseline])}, not the plan's task {plan.task}; leave it out"
            )
    family, shapes = _models(plan)
    if plan.task not in family.heads:
        raise FedgrowError(
            f"task {plan.task}: {family.family} has no such head; it has {', '.join(family.heads)}"
        )
    _settings(plan, family)
    for name, shape in shapes.items():
        what = f"participant {name} to the large shape"
        _operator("local_operator", plan.local_operator, family, shape, plan.large, what)
    intermediate = plan.intermediate
    if not isinstance(intermediate, Shape):
        try:
            intermediate = smallest_intermediate(family, list(shapes.values()), large=plan.large)
        except ShapeError as error:
            raise ShapeError(f"intermediate: auto found nothing ({error}); name a shape yourself") from None
    for name, shape in shapes.items():
        what = f"participant {name} to the intermediate shape"
        _operator("local_operator", plan.local_operator, family, shape, intermediate, what)
    what = "the intermediate to the large shape"
    _operator("operator", plan.operator, family, intermediate, plan.large, what)
    Rounds(plan.strategy.name, len(plan.participants), dict(plan.strategy.options))
    metrics = _metrics(plan)
    return plan.model_copy(update={"family": family.family, "intermediate": intermediate, "metrics": metrics})


def _metrics(plan: Plan) -> tuple[str, ...]:
    possible = ("loss", *TASKS[plan.task].metrics)
    for name in plan.metrics:
        if name not in possible:
            raise FedgrowError(f"metrics: {name!r} is unknown; {plan.task} has {', '.join(possible)}")
    return plan.metrics or possible


def _models(plan: Plan) -> tuple[Family, dict[str, Shape]]:
    family = families()[plan.family] if plan.family else None
    shapes = {}
    for entry in plan.participants:
        found, shape = _model(entry)
        if found is not None and family is not None and found.family != family.family:
            raise FedgrowError(
                f"participant {entry.name}: its model is a {found.family}, the others' a {family.family}; "
                "one federation grows one family, for different norms start differently"
            )
        family = family or found
        shapes[entry.name] = shape
    assert family is not None  # the plan's schema sees to it
    return family, shapes


def _model(entry: ParticipantPlan) -> tuple[Family | None, Shape]:
    if isinstance(entry.model, Shape):
        return None, entry.model
    try:
        config = load_config(entry.model)
        family = family_of(config)
        return family, shape_of(family, config)
    except (FedgrowError, ValueError) as error:
        raise FedgrowError(f"participant {entry.name}: {error}") from None


def _registered(setting: str, value: str, registry: Mapping[str, object]) -> None:
    if value not in registry:
        raise FedgrowError(f"{setting}: {value!r} is unknown; choose from {', '.join(registry)}")


def _settings(plan: Plan, family: Family) -> None:
    """Refuse model settings that the family does not have, or that the shapes decide."""
    config = AutoConfig.for_model(family.model_type)
    shaped = {field for axis, field in family.config.items() if axis != "norm_eps"} | set(
        family.follows_width
    )
    for name in plan.model_settings:
        if name in shaped:
            raise FedgrowError(
                f"model_settings.{name}: each participant's model says it, as a shape; leave it out"
            )
        if name in FROM_DATA:
            raise FedgrowError(f"model_settings.{name}: the participant's data says it; leave it out")
        if not hasattr(config, name):
            raise FedgrowError(f"model_settings.{name}: a {family.family} configuration has no such value")


def _operator(
    setting: str, plan: OperatorPlan, family: Family, source: Shape, target: Shape, what: str
) -> None:
    try:
        make_operator(plan, family, source, target, seed=0)
    except ShapeError as error:
        raise ShapeError(f"{what}: {error}") from None
    except FedgrowError as error:
        raise FedgrowError(f"{setting}: {str(error).removeprefix('operator ')}") from None
