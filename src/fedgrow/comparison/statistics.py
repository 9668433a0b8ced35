"""What may be said of the difference between two methods: paired over seeds, with a confidence interval."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.95
TIE = 1e-12  # gaps that differ by less are equal: rounding alone makes such differences


@dataclass(frozen=True)
class Difference:
    """A method's advantage over another; positive is better, whichever way the metric goes.

    Attributes:
        mean: the mean difference over seeds.
        low: lower end of the confidence interval (Student's t, paired); NaN where seeds have no spread to judge by.
        high: its upper end.
        p: two-sided p-value of the paired t-test; NaN likewise.
        won: seeds in which it was ahead.
        seeds: seeds that both have.
    """

    mean: float
    low: float
    high: float
    p: float
    won: int
    seeds: int

    @property
    def sure(self) -> int:
        """1 or -1 where the interval lies above or below zero, else 0."""
        return int(self.low > 0) - int(self.high < 0)


def paired(one: "pd.Series[float]", other: "pd.Series[float]", *, higher_is_better: bool) -> Difference:
    """Compare two methods, each with one value a seed (the index); seeds that only one of them has are left out."""
    both = pd.concat([one, other], axis=1, join="inner").to_numpy(float)
    gaps = (both[:, 0] - both[:, 1]) * (1 if higher_is_better else -1)
    if not len(gaps):
        return Difference(float("nan"), float("nan"), float("nan"), float("nan"), 0, 0)
    won, mean = int((gaps > 0).sum()), float(gaps.mean())
    if len(gaps) == 1 or np.ptp(gaps) < TIE:
        nan = float("nan")
        return Difference(mean, nan, nan, nan, won, len(gaps))
    test = stats.ttest_1samp(gaps, 0.0)
    interval = test.confidence_interval(LEVEL)
    return Difference(mean, float(interval.low), float(interval.high), float(test.pvalue), won, len(gaps))


def differences(frame: pd.DataFrame, reference: str, column: str = "mean") -> pd.DataFrame:
    """Hold a reference method against every other, for each task and partition.

    Args:
        frame: the results.
        reference: the method.
        column: ``mean`` or ``worst`` over participants.

    Returns:
        A line for every task, partition and other method: the fields of ``Difference``.
    """
    lines = []
    for (task, partition), group in frame.groupby(["task", "partition"], sort=False):
        metric, higher = group["metric"].iloc[0], bool(group["higher_is_better"].iloc[0])
        values = {
            name: lines_of.set_index("seed")[f"{metric}_{column}"]
            for name, lines_of in group.groupby("method", sort=False)
        }
        if reference not in values:
            continue
        for name, series in values.items():
            if name != reference:
                found = paired(values[reference], series, higher_is_better=higher)
                lines.append(
                    {"task": task, "partition": partition, "method": name, "metric": metric}
                    | vars(found)
                    | {"sure": found.sure}
                )
    return pd.DataFrame(lines)
