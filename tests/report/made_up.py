"""A made-up summary, as report and command line take it."""

from typing import Any

from fedgrow.federated.results import statistics

SHAPE = {"layers": 1, "width": 8, "heads": 2, "head_size": 4, "ffn": 16}


def summary(
    metric: str, *, small: list[float], start: list[float], grown: list[float], **baselines: list[float]
) -> Any:
    def of(values: list[float]) -> dict[str, Any]:
        return statistics([{"loss": 1.0, metric: value} for value in values])

    return {
        "small": of(small),
        "start": of(start),
        "grown": of(grown),
        "baselines": {name: of(values) for name, values in baselines.items()},
        "participants": [
            {
                "name": f"p{i}",
                "examples": {"train": 30, "test": 10},
                "labels": 10,
                "small": {"shape": SHAPE, "parameters": 1234, "metrics": {metric: small[i]}},
                "start": {"metrics": {metric: start[i]}},
                "grown": {"shape": SHAPE, "parameters": 56789, "metrics": {metric: grown[i]}},
                "parity": {"max_abs": 1.25e-7, "mean_abs": 3e-8},
            }
            for i in range(len(small))
        ],
    }
