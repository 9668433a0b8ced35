"""The model card: front matter that the hub can read, and what the numbers say."""

import yaml

from fedgrow.cards.participant import model_card
from tests.federation import tiny_plan
from tests.report.made_up import summary

PERSON = summary("accuracy", small=[0.5], start=[0.5], grown=[0.75])["participants"][0]
REPORT = PERSON | {
    "parity": {
        "max_abs": 1.25e-7,
        "mean_abs": 3e-8,
        "logits_max_abs": 2.5,
        "examples": 9,
        "declared": "exact",
    }
}


def card() -> str:
    return model_card(REPORT, tiny_plan())


def test_the_front_matter_is_yaml():
    nothing, front, body = card().split("---\n", 2)
    assert nothing == ""
    values = yaml.safe_load(front)
    assert values["library_name"] == "transformers"
    assert "fedgrow" in values["tags"]
    assert body.lstrip().startswith("# p0: grown")


def test_the_metrics_are_a_table():
    assert "| metric | small model | grown, at start | grown |\n|---|---|---|---|\n" in card()
    assert "| accuracy | 0.5000 | 0.5000 | 0.7500 |" in card()


def test_it_says_what_was_grown_by_what_and_with_whom():
    assert "1 layers x 8, 2 heads, FFN 16" in card()
    assert "Global-LiGO (low-rank) learned together with 2 other participants in 2 rounds" in card()
    assert "Task: image-classification" in card()


def test_it_holds_the_parity_receipt():
    assert (
        "at most 1.25e-07 (mean 3.00e-08; largest logit 2.50; 9 examples, float64; declared exact)" in card()
    )


def test_it_names_no_other_participant():
    assert not any(name in card() for name in ("ada", "bob", "cyd"))
