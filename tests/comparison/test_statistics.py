import math

import pandas as pd
import pytest
from scipy import stats

from fedgrow.comparison.statistics import differences, paired


def series(values, seeds=None):
    return pd.Series(values, index=seeds or range(len(values)))


def test_the_interval_is_the_paired_t_tests():
    one, other = series([0.8, 0.7, 0.9]), series([0.7, 0.65, 0.88])
    found = paired(one, other, higher_is_better=True)
    reference = stats.ttest_rel(one, other)
    interval = reference.confidence_interval(0.95)
    assert found.mean == pytest.approx(0.17 / 3)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p == pytest.approx(reference.pvalue)
    assert (found.won, found.seeds, found.sure) == (3, 3, 0)


def test_ahead_is_positive_whichever_way_the_metric_goes():
    losses, worse = series([3.0, 3.1, 3.05]), series([4.0, 4.1, 4.06])
    found = paired(losses, worse, higher_is_better=False)
    assert found.mean == pytest.approx(1.0, abs=0.01)
    assert found.sure == 1
    assert paired(worse, losses, higher_is_better=False).sure == -1


def test_only_seeds_that_both_have_count():
    found = paired(series([1.0, 2.0, 5.0], [0, 1, 2]), series([0.5, 1.0], [0, 1]), higher_is_better=True)
    assert found.seeds == 2
    assert found.mean == pytest.approx(0.75)


def test_one_seed_says_nothing_of_spread():
    found = paired(series([1.0]), series([0.5]), higher_is_better=True)
    assert found.mean == 0.5
    assert math.isnan(found.low)
    assert math.isnan(found.p)
    assert found.sure == 0


def test_equal_methods_are_undecided():
    assert paired(series([0.5, 0.6]), series([0.5, 0.6]), higher_is_better=True).sure == 0


def test_equal_gaps_have_no_spread_to_judge_by():
    found = paired(series([0.6, 0.7, 0.8]), series([0.5, 0.6, 0.7]), higher_is_better=True)
    assert found.mean == pytest.approx(0.1)
    assert found.won == 3
    assert math.isnan(found.low)
    assert found.sure == 0


def test_no_common_seed():
    found = paired(series([1.0], [0]), series([0.5], [1]), higher_is_better=True)
    assert found.seeds == 0
    assert math.isnan(found.mean)


def test_differences_by_task_and_partition():
    lines = [
        {
            "task": task, "partition": "iid", "method": method, "seed": seed,
            "metric": "accuracy", "higher_is_better": True,
            "accuracy_mean": base + 0.01 * seed + bonus + 0.001 * seed * (method == "b"),
            "accuracy_worst": base,
        }
        for task, base in (("x", 0.5), ("y", 0.6))
        for method, bonus in (("a", 0.1), ("b", 0.0))
        for seed in range(4)
    ]  # fmt: skip
    found = differences(pd.DataFrame(lines), "a")
    assert list(found["task"]) == ["x", "y"]
    assert set(found["method"]) == {"b"}
    assert (found["sure"] == 1).all()
    assert (differences(pd.DataFrame(lines), "a", "worst")["mean"] == 0).all()
