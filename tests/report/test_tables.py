"""Tables and verdict, for metrics of which more is better and of which less is."""

import pytest

from fedgrow.config.plan import OperatorPlan
from fedgrow.markdown import table
from fedgrow.report.markdown import describe, method_rows, participant_rows, verdict
from tests.report.made_up import summary

HIGH = summary("accuracy", small=[0.5, 0.7], start=[0.5, 0.7], grown=[0.6, 0.9])
LOW = summary("perplexity", small=[20.0, 30.0], start=[20.0, 30.0], grown=[10.0, 14.0])


def against(metric: str, higher: bool, grown: float, other: float) -> str:
    made = summary(metric, small=[grown], start=[grown], grown=[grown], fedavg=[other])
    return verdict(made, metric, higher).partition("; ")[2]


def test_mean_deviation_and_worst_where_more_is_better():
    head, small, start, grown = method_rows(HIGH, ("accuracy",), True)
    assert head == ["method", "accuracy (mean ± sd over participants)", "worst accuracy"]
    assert small[1:] == start[1:] == ["0.600 ± 0.100", "0.500"]
    assert grown[1:] == ["0.750 ± 0.150", "0.600"]


def test_the_worst_is_the_largest_where_less_is_better():
    *_, grown = method_rows(LOW, ("perplexity",), False)
    assert grown[1:] == ["12.000 ± 2.000", "14.000"]


def test_every_metric_has_its_column_and_the_first_its_worst():
    head, *_ = method_rows(HIGH, ("accuracy", "loss"), True)
    assert [h.split()[0] for h in head] == ["method", "accuracy", "loss", "worst"]


def test_every_baseline_has_its_row_in_words():
    made = summary("accuracy", small=[0.5], start=[0.5], grown=[0.5], tfidf=[0.25], fedavg=[0.75])
    rows = {row[0]: row[1] for row in method_rows(made, ("accuracy",), True)[4:]}
    assert list(rows.values()) == ["0.250 ± 0.000", "0.750 ± 0.000"]
    assert [("TF-IDF" in name, "scratch" in name) for name in rows] == [(True, False), (False, True)]


@pytest.mark.parametrize(
    ("metric", "higher", "grown", "other", "words"),
    [
        ("accuracy", True, 0.8, 0.7, "better than"),
        ("accuracy", True, 0.6, 0.7, "worse than"),
        ("perplexity", False, 8.0, 9.0, "better than"),
        ("perplexity", False, 9.0, 8.0, "worse than"),
        ("accuracy", True, 0.7, 0.7002, "level with"),
        ("perplexity", False, 8.0002, 8.0, "level with"),
    ],
)
def test_the_verdict_says_what_is_better(metric, higher, grown, other, words):
    assert against(metric, higher, grown, other).startswith(words)


def test_the_verdict_gives_the_difference_with_its_sign():
    assert "(+0.100)" in against("accuracy", True, 0.8, 0.7)
    assert "(-1.000)" in against("perplexity", False, 8.0, 9.0)


def test_the_verdict_compares_with_the_small_models_first():
    sentence = verdict(HIGH, "accuracy", True)
    assert (
        sentence
        == "In mean accuracy of this one run, growing together was better than the small models before growth (+0.150). "
        "One run decides nothing: `fedgrow compare` pairs methods over several seeds, with intervals."
    )


def test_every_participant_has_its_row():
    head, first, second = participant_rows(HIGH, "accuracy")
    row = dict(zip(head, first, strict=True))
    assert row == {
        "participant": "p0",
        "train / test": "30 / 10",
        "classes": "10",
        "small shape": "1x8, 2 heads, ffn 16",
        "parameters": "1,234",
        "small": "0.500",
        "at start": "0.500",
        "grown": "0.600",
        "grown parameters": "56,789",
        "parity max / mean": "1.2e-07 / 3.0e-08",
    }
    assert second[0] == "p1"


def test_a_table_is_markdown():
    assert table([["a", "b"], ["1", "2"]]) == ["| a | b |", "|---|---|", "| 1 | 2 |"]


@pytest.mark.parametrize(
    ("operator", "words"),
    [
        (OperatorPlan(kind="low-rank"), "low-rank of rank 8"),
        (OperatorPlan(kind="low-rank", rank=3), "low-rank of rank 3"),
        (OperatorPlan(kind="tied"), "tied"),
        (OperatorPlan(kind="dense", start="xavier"), "dense (xavier start)"),
    ],
)
def test_an_operator_in_words(operator, words):
    assert describe(operator) == words
