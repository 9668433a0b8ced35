"""The report of a study: what it compares, and what it says it ran with."""

import json

import pandas as pd

from fedgrow.comparison.report import _versions, evaluated, of_common_seeds


def lines(**seeds):
    return pd.DataFrame([{"method": name, "seed": seed} for name, own in seeds.items() for seed in own])


def test_means_are_over_the_seeds_that_all_methods_have():
    part, said = of_common_seeds(lines(a=[0, 1, 2], b=[0, 2]))
    assert sorted(map(tuple, part[["method", "seed"]].to_numpy())) == [("a", 0), ("a", 2), ("b", 0), ("b", 2)]
    assert said.endswith("that all methods have: 0, 2")


def test_nothing_is_said_where_all_have_the_same_seeds():
    part, said = of_common_seeds(lines(a=[0, 1], b=[0, 1]))
    assert (len(part), said) == (4, "")


def test_no_common_seed_is_said():
    part, said = of_common_seeds(lines(a=[0], b=[1]))
    assert len(part) == 2
    assert "no seed in common" in said


def test_what_experiments_ran_with_is_theirs():
    ran = [{"fedgrow": "0.1.0+aa", "torch": "2.9"}, {"fedgrow": "0.1.0+bb", "torch": "2.9"}]
    frame = pd.DataFrame({"versions": [json.dumps(one) for one in (*ran, ran[0])]})
    assert _versions(frame) == "fedgrow 0.1.0+aa (2 of 3) and 0.1.0+bb (1 of 3), torch 2.9"


def sending(**methods):
    """Return a line for every method, given its approach, bytes up and kind of evaluation."""
    return pd.DataFrame(
        {"method": name, "approach": approach, "bytes_up": up, "plan": json.dumps({"schedule": {"evaluation": how}})}
        for name, (approach, up, how) in methods.items()
    )  # fmt: skip


def test_it_is_said_who_pays_for_evaluation_where_others_do_not():
    frame = sending(a=("dual-ligo", 9, "along"), b=("fedavg", 9, "apart"), c=("fedrolex", 9, "along"))
    assert "another broadcast a round: `b`, `c`; along with the next round: `a`." in evaluated(frame)


def test_who_sends_nothing_is_evaluated_by_itself():
    frame = sending(a=("dual-ligo", 9, "along"), b=("small", 0, "apart"))
    assert evaluated(frame) == ""
