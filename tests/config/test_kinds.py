"""A plan may name just what is registered: a kind with a file and a line, but without its name in a plan, is found here."""

from typing import get_args

import pytest

from fedgrow.config.plan import CompressionPlan, PartitionPlan, Plan
from fedgrow.data.partition_kinds import KINDS
from fedgrow.exchange.compression import COMPRESSIONS
from fedgrow.tasks import TASKS

REGISTRIES = {
    "task": (Plan, "task", TASKS),
    "partition.kind": (PartitionPlan, "kind", KINDS),
    "compression.kind": (CompressionPlan, "kind", COMPRESSIONS),
}


@pytest.mark.parametrize("setting", REGISTRIES)
def test_a_plan_may_name_just_what_is_registered(setting):
    settings, name, registry = REGISTRIES[setting]
    assert list(get_args(settings.model_fields[name].annotation)) == list(registry)


def test_what_goes_down_is_registered():
    assert set(get_args(CompressionPlan.model_fields["down"].annotation)) < set(COMPRESSIONS)
