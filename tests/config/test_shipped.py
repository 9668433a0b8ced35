"""Every shipped plan parses and resolves; models of the hub are replaced by tiny ones."""

import pytest

from fedgrow.architectures import Shape
from fedgrow.config.load import load_plan, shipped_plans
from fedgrow.federated.resolve import resolve
from tests.architectures.folders import folder
from tests.tasks.making import tokenizer


def test_they_are_all_known_here():
    assert set(shipped_plans()) == {
        "digits",
        "gpt2",
        "text-bert",
        "published",
        "published-20",
        "published-text",
    }


@pytest.mark.parametrize("name", shipped_plans())
def test_it_parses_and_carries_its_name(name):
    assert load_plan(name).name == name


def test_digits_resolves():
    assert resolve(load_plan("digits")).family == "vit"


def test_gpt2_resolves_with_an_intermediate_shape_that_holds_all():
    plan = resolve(load_plan("gpt2"))
    assert plan.intermediate == Shape(layers=3, width=192, heads=6, ffn=384)


def test_text_bert_resolves_on_local_models(tmp_path):
    for name in ("tiny", "small", "medium"):
        tokenizer(folder(tmp_path / name, "bert-body")[1])
    plan = resolve(load_plan("text-bert", [f"paths.{n}={tmp_path / n}" for n in ("tiny", "small", "medium")]))
    assert (plan.family, plan.intermediate.width % 8) == ("bert", 0)
    assert plan.participants[0].model == str(tmp_path / "tiny")


@pytest.mark.parametrize(("name", "count"), [("published", 10), ("published-20", 20), ("published-text", 10)])
def test_the_published_setting_is_as_the_paper_says(name, count):
    plan = resolve(load_plan(name))
    assert len(plan.participants) == count
    assert {p.model.layers for p in plan.participants} == {2, 3, 4}
    assert {(p.model.width, p.model.heads, p.model.ffn) for p in plan.participants} == {(256, 8, 256)}
    assert (plan.intermediate.layers, plan.intermediate.width) == (4, 320)
    assert (plan.large.layers, plan.large.width, plan.large.heads, plan.large.ffn) == (6, 384, 8, 384)
    assert (plan.operator.kind, plan.operator.start, plan.schedule.kind) == ("tied", "xavier", "two-phase")
