"""Resolve a plan before anything is written: every model is known, of one family, and can grow all the way."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from transformers import AutoConfig

from fedgrow.approaches import BASELINES
from fedgrow.approaches.schedule import taking_part
from fedgrow.architectures import Family, Shape, families, family_of, shape_of
from fedgrow.architectures.configuration import check_shape, new_config, with_rotary
from fedgrow.architectures.models import CANNOT_BE_MADE, load_config
from fedgrow.config.plan import OperatorPlan, Plan
from fedgrow.errors import FedgrowError, ShapeError
from fedgrow.federated.strategy import STRATEGIES, answers_needed, try_out
from fedgrow.growth import OPERATORS
from fedgrow.growth.intermediate import smallest_intermediate
from fedgrow.learners.dual_ligo import global_operator, global_start
from fedgrow.learners.ligo import make_operator
from fedgrow.runs.operator import with_trained
from fedgrow.tasks import TASKS
from fedgrow.tasks.models import check_vocabulary
from fedgrow.tasks.tokenizers import load_tokenizer

FROM_DATA = ("image_size", "num_channels", "num_labels", "id2label", "label2id", "vocab_size")


def resolve(plan: Plan) -> Plan:
    """Return the plan with its family and intermediate shape settled.

    Raises:
        FedgrowError: a model is missing, of another family, or has no head for the task.
        ShapeError: a shape cannot grow; the text names the participant, the axis and both sizes.
    """
    plan = with_trained(plan)
    _registered("operator.kind", plan.operator.kind, OPERATORS)
    _registered("local_operator.kind", plan.local_operator.kind, OPERATORS)
    _registered("strategy.name", plan.strategy.name, STRATEGIES)
    for baseline in plan.baselines:
        _registered("baselines", baseline, BASELINES)
        tasks = BASELINES[baseline].tasks or (plan.task,)
        if plan.task not in tasks:
            raise FedgrowError(
                f"baselines: {baseline} fits {', '.join(tasks)}, not the plan's task {plan.task}; leave it out"
            )
    if plan.local_operator.trained is not None or plan.local_operator.frozen:
        raise FedgrowError("local_operator: trained and frozen are for Global-LiGO; set them under operator")
    for setting in ("seed", "turns"):
        if getattr(plan.local_operator, setting) not in (None, ()):
            raise FedgrowError(f"local_operator.{setting}: it is of Global-LiGO; set it under operator")
    family, shapes = _models(plan)
    large = _settled("large", family, plan.large, shapes)
    intermediate = plan.intermediate
    if isinstance(intermediate, Shape):
        intermediate = _settled("intermediate", family, intermediate, shapes)
    if plan.task not in family.heads:
        raise FedgrowError(
            f"task {plan.task}: {family.family} has no such head; it has {', '.join(family.heads)}"
        )
    for name, shape in shapes.items():
        what = f"participant {name} to the large shape"
        _operator("local_operator", plan.local_operator, family, shape, large, what)
    if not isinstance(intermediate, Shape) and len(shapes) < len(plan.participants):
        raise FedgrowError("intermediate: name a shape, for not all small models are known here")
    if not isinstance(intermediate, Shape):
        try:
            intermediate = smallest_intermediate(family, list(shapes.values()), large=large)
        except ShapeError as error:
            raise ShapeError(f"intermediate: auto found nothing ({error}); name a shape yourself") from None
    for name, shape in shapes.items():
        what = f"participant {name} to the intermediate shape"
        _operator("local_operator", plan.local_operator, family, shape, intermediate, what)
    what = "the intermediate to the large shape"
    _operator("operator", plan.operator, family, intermediate, large, what)
    _turns(plan.model_copy(update={"large": large, "intermediate": intermediate}), family)
    if plan.operator.trained is not None:
        global_start(plan.model_copy(update={"large": large, "intermediate": intermediate}), family)
    for baseline in plan.baselines:
        settled = plan.model_copy(update={"large": large})
        BASELINES[baseline].check(settled, family, list(shapes.values()))
    _strategy(plan)
    for entry in plan.participants:
        if TASKS[plan.task].reads_text and (folder := entry.tokenizer_folder) is not None:
            tokenizer = load_tokenizer(entry.name, folder)
            if isinstance(entry.model, str):
                try:
                    check_vocabulary(len(tokenizer), load_config(entry.model))
                except FedgrowError as error:
                    raise FedgrowError(f"participant {entry.name}: {error}") from None
    metrics = metrics_of(plan)
    return plan.model_copy(
        update={
            "family": family.family,
            "large": large,
            "intermediate": intermediate,
            "metrics": metrics,
        }
    )


def _settled(setting: str, family: Family, shape: Shape, shapes: Mapping[str, Shape]) -> Shape:
    """Check a shape of the plan against the family, and fill in what follows from the small models."""
    if shapes:
        shape = with_rotary(family, shape, next(iter(shapes.values())))
    elif family.rotary is not None and shape.rotary is None:
        raise FedgrowError(
            f"{setting}.rotary: name it (rotary dimensions of each head), for no small model is known here"
        )
    try:
        check_shape(family, shape)
    except ShapeError as error:
        raise ShapeError(f"{setting}.{error}") from None
    return shape


def _strategy(plan: Plan) -> None:
    """Refuse wrong options of the strategy, and rounds that may close with fewer answers than it needs."""
    name, options = plan.strategy.name, dict(plan.strategy.options)
    fewest = len(taking_part(plan, 1))
    if any(entry.model is None for entry in plan.participants):  # sites, which may be away
        fewest = plan.faults.enough(fewest)
    if fewest < (needed := answers_needed(name, options)):
        raise FedgrowError(
            f"strategy {name}: it needs at least {needed} answers a round, but this plan lets a round close with {fewest}; "
            "name more participants, raise schedule.participation or faults.quorum, or lower num_malicious_nodes"
        )
    try_out(name, len(plan.participants), fewest, options)


def metrics_of(plan: Plan) -> tuple[str, ...]:
    """Return the metrics that may leave: the plan's, or all of its task.

    Raises:
        FedgrowError: the task has no such metric.
    """
    possible = ("loss", *TASKS[plan.task].metrics)
    for name in plan.metrics:
        if name not in possible:
            raise FedgrowError(f"metrics: {name!r} is unknown; {plan.task} has {', '.join(possible)}")
    return plan.metrics or possible


def check_data(plan: Plan) -> None:
    """Check that a plan's baselines can be carried out on its data.

    Raises:
        FedgrowError: data is missing or unfit, or a baseline does not go with it.
    """
    for baseline in plan.baselines:
        BASELINES[baseline].check_data(plan)


def check_models(plan: Plan) -> None:
    """Refuse to run here what is for sites: a plan of which a participant brings no model.

    Raises:
        FedgrowError: there is one; it is named.
    """
    for entry in plan.participants:
        if entry.model is None:
            raise FedgrowError(
                f"participants: {entry.name} has no model; name one to simulate it, or let it join `fedgrow server`"
            )


def small_shapes(plan: Plan) -> dict[str, Shape]:
    """Return the shapes of the small models that are known here, by participant."""
    return _models(plan)[1]


def _models(plan: Plan) -> tuple[Family, dict[str, Shape]]:
    family = families()[plan.family] if plan.family else None
    loaded = {}
    for entry in plan.participants:
        if isinstance(entry.model, str):
            found, loaded[entry.name] = _model(entry.name, entry.model)
            if family is not None and found.family != family.family:
                raise FedgrowError(
                    f"participant {entry.name}: its model is a {found.family}, the others' a {family.family}; "
                    "one federation grows one family, for different norms start differently"
                )
            family = found
    assert family is not None  # the plan's schema sees to it
    _settings(plan, family)
    made = {
        entry.name: _made(entry.name, entry.model, family, plan)
        for entry in plan.participants
        if isinstance(entry.model, Shape)
    }
    return family, {name: (loaded | made)[name] for name in plan.names if name in loaded or name in made}


def _model(name: str, folder: str) -> tuple[Family, Shape]:
    """Return family and shape of a model that is there."""
    try:
        config = load_config(folder)
        family = family_of(config)
        return family, shape_of(family, config)
    except (FedgrowError, ValueError) as error:
        raise FedgrowError(f"participant {name}: {error}") from None


def _made(name: str, shape: Shape, family: Family, plan: Plan) -> Shape:
    """Return the shape, whole, of a model that is made in the run."""
    head = family.heads.get(plan.task)
    if head is not None and head.stacks is None and "decoder_layers" in family.config:
        raise FedgrowError(
            f"participant {name}: for {plan.task} a {family.family} is not made in the run, for its decoder has to know how "
            "to begin; name a folder or hub id as its model"
        )
    try:
        check_shape(family, shape)
        return shape_of(family, new_config(family, shape, plan.model_settings))
    except ShapeError as error:
        raise ShapeError(f"participant {name}: model.{error}") from None
    except (*CANNOT_BE_MADE, FedgrowError) as error:
        raise FedgrowError(
            f"participant {name}: no {family.family} can be made with model_settings {plan.model_settings} "
            f"({error})"
        ) from None


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


def _turns(plan: Plan, family: Family) -> None:
    """Refuse patterns of arrays that there are not: a round would train nothing."""
    names = list(global_operator(plan, family).shapes())
    for pattern in (pattern for turn in plan.operator.turns for pattern in turn):
        if not any(fnmatchcase(name, pattern) for name in names):
            raise FedgrowError(
                f"operator.turns: no array is called {pattern!r}; there are {len(names)}, such as {', '.join(names[:4])}"
            )


def _operator(
    setting: str, plan: OperatorPlan, family: Family, source: Shape, target: Shape, what: str
) -> None:
    try:
        make_operator(plan, family, source, target, seed=0)
    except ShapeError as error:
        raise ShapeError(f"{what}: {error}") from None
    except FedgrowError as error:
        raise FedgrowError(f"{setting}: {str(error).removeprefix('operator ')}") from None
