"""Questions and the spans that answer them: SQuAD's records, flat columns, lists of questions, and what is refused."""

import json

import pandas as pd
import pytest

from fedgrow.config.plan import PartitionPlan
from fedgrow.data.examples import Examples, Question
from fedgrow.data.partition import partition
from fedgrow.data.sources import load
from fedgrow.data.split import split
from fedgrow.errors import FedgrowError
from tests.data.making import QUESTIONS, plan

CONTEXT = "Ada met Bob in Rome."
ROWS = [Question("who?", CONTEXT, ((8, 11),)), Question("when?", CONTEXT, ())]


def read(tmp_path, rows=2, extra=(), settings=None, **columns):
    frame = {"question": ["who?", "when?"][:rows], "context": [CONTEXT] * rows} | columns
    pd.DataFrame(frame).to_parquet(tmp_path / "x.parquet")
    return load(plan(tmp_path / "x.parquet", **settings or {}), QUESTIONS, 0, extra)


def refused(tmp_path, **columns):
    with pytest.raises(FedgrowError) as caught:
        read(tmp_path, **columns)
    return str(caught.value)


def squad(*answers):
    return [{"text": [t for t, _ in a], "answer_start": [s for _, s in a]} for a in answers]


def test_squads_records(tmp_path):
    assert read(tmp_path, answers=squad([("Bob", 8)], [])).asked == ROWS
    several = read(tmp_path, rows=1, answers=squad([("Bob", 8), ("Ada", 0), ("Bob", 8)])).asked[0]
    assert several.spans == ((8, 11), (0, 3))
    assert several.answers == ["Bob", "Ada"]


def test_squads_records_in_jsonl(tmp_path):
    records = [
        {"question": row.question, "context": row.context, "answers": answers}
        for row, answers in zip(ROWS, squad([("Bob", 8)], []), strict=True)
    ]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, records)))
    assert load(plan(tmp_path / "x.jsonl"), QUESTIONS, 0).asked == ROWS


@pytest.mark.parametrize(
    "columns",
    [
        {"answer": ["Bob", None], "start": [8, None]},
        {"start": [8, None], "end": [11, None]},
        {"answer": ["Bob", None], "answer_start": [8, None], "answer_end": [11, None]},
    ],
)
def test_flat_columns(tmp_path, columns):
    assert read(tmp_path, **columns).asked == ROWS


def test_csv(tmp_path):
    (tmp_path / "x.csv").write_text(
        f"question,context,answer,start\nwho?,{CONTEXT},Bob,8\nwhen?,{CONTEXT},,\n"
    )
    assert load(plan(tmp_path / "x.csv"), QUESTIONS, 0).asked == ROWS


def test_lists_of_questions_about_one_context(tmp_path):
    """As slots of an utterance: a row asks nothing, one thing or several."""
    columns = {
        "question": [["who?", "where?"], [], ["who?"]],
        "context": [CONTEXT, "Nobody.", "Cy is in."],
        "start": [[8, 15], [], [0]],
        "end": [[11, 19], [], [2]],
        "site": ["x", "y", "z"],
    }
    found = read(tmp_path, rows=3, extra=("site", "question"), **columns)
    assert [(a.question, a.answers) for a in found.asked] == [
        ("who?", ["Bob"]),
        ("where?", ["Rome"]),
        ("who?", ["Cy"]),
    ]
    assert found.columns == {"site": ["x", "x", "z"], "question": ["who?", "where?", "who?"]}


def test_they_are_taken_and_digested():
    found = Examples(list(ROWS))
    assert found.take([1]).asked == ROWS[1:]
    assert found.digest() != found.take([1, 0]).digest()
    with pytest.raises(TypeError, match="questions, not tagged words"):
        _ = found.tagged


@pytest.mark.parametrize(
    ("columns", "fragments"),
    [
        ({}, ["data.answer is not set", "'question', 'context'"]),
        ({"answer": ["Bob", "Ada"]}, ["'answer' holds texts", "data.answer_start"]),
        ({"start": [8, 0]}, ["'start'", "nothing says where they end", "data.answer_end"]),
        (
            {"answer": ["Rob", None], "start": [8, None]},
            ["'Rob' at row 0", "8 to 11", "'Bob'", "counted from 0"],
        ),
        ({"start": [8, 0], "end": [11, 99]}, ["row 1", "0 to 99", "context of 20"]),
        ({"start": [8, 4], "end": [11, 4]}, ["row 1", "4 to 4", "start < end"]),
        ({"start": [8, -1], "end": [11, 4]}, ["row 1", "-1 to 4"]),
        ({"start": [8, 3], "end": [11, 4]}, ["row 1", "nothing but spaces"]),
        ({"start": [8, None], "end": [11, 4]}, ["'start' is null at row 1", "'end' has 4"]),
        ({"start": [8, 1], "end": [11, None]}, ["'end' holds null", "row 1", "whole number"]),
        ({"start": ["8", "x"], "end": [11, 12]}, ["'start' holds str (x) at row 1"]),
        ({"start": [8.5, 1], "end": [11, 12]}, ["'start' holds float (8.5) at row 0"]),
        ({"answer": ["Bob", None], "start": [8, 3]}, ["'answer' holds null at row 1", "'start' has 3"]),
        (
            {"answers": [{"text": ["Bob"], "answer_start": [8, 9]}, {"text": [], "answer_start": []}]},
            ["'answers' holds", "row 0", "two lists of one length"],
        ),
        (
            {"question": [["a", "b"], ["c"]], "start": [[8], [0]], "end": [[11], [1]]},
            ["'start' has 1 values at row 0", "a list of 2", "one for each question"],
        ),
        (
            {"question": [["a"], None], "start": [[8], [0]], "end": [[11], [1]]},
            ["'question' has single values or nulls beside lists: 1 of 2 rows, first row 1"],
        ),
        ({"context": [1, 2], "start": [8, 0], "end": [11, 3]}, ["'context' holds int", "set data.context"]),
        ({"question": [[], []], "start": [[], []], "end": [[], []]}, ["nothing but empty lists"]),
        ({"question": ["a", None], "start": [8, 0], "end": [11, 3]}, ["'question' has null texts", "row 1"]),
        ({"context": [CONTEXT, ""], "start": [8, 0], "end": [11, 3]}, ["'context' has empty texts", "row 1"]),
    ],
)
def test_bad_rows_are_refused(tmp_path, columns, fragments):
    text = refused(tmp_path, **columns)
    assert [f for f in ("data.source", *fragments) if f not in text] == []


def about(*contexts):
    """One question about each of these contexts."""
    asked = [Question(f"q{i}", context, ((0, 1),)) for i, context in enumerate(contexts)]
    return Examples(asked, None, {"of": [f"{i % 3}" for i in range(len(asked))]})


@pytest.mark.parametrize("settings", [{}, {"kind": "dirichlet", "alpha": 1.0, "column": "of"}])
def test_a_context_goes_to_one_participant_and_one_side(settings):
    """Five questions about each of 40 contexts."""
    everything = about(*(f"context {i % 40}" for i in range(200)))
    made = partition(everything, PartitionPlan(min_examples=8, **settings), ["ada", "bob", "cyd"], 3)
    sides = []
    for rows in made.shards.values():
        shard = everything.take(rows)
        for side in split(range(len(shard)), None, 0.25, 1, shard.units()):
            sides.append({shard.asked[i].context for i in side})
        assert len(side) == pytest.approx(0.25 * len(shard), abs=5)
    assert sum(map(len, made.shards.values())) == 200
    assert sum(map(len, sides)) == len(set().union(*sides)) == 40


def test_single_questions_are_held_out_as_ever():
    one = about(*(f"context {i}" for i in range(30)))
    assert split(range(30), None, 0.3, 5, one.units()) == split(range(30), None, 0.3, 5)


def test_questions_about_one_context_only_cannot_be_held_out():
    with pytest.raises(FedgrowError, match="about one context"):
        split(range(4), None, 0.25, 0, about(*["the same"] * 4).units())
    train, test = split(range(4), None, 0.9, 0, about("a", "a", "a", "b").units())
    assert len(train) in (1, 3)
    assert len(test) == 4 - len(train)
