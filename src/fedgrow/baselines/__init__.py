"""What Fed-Grow is measured against, one baseline per file; add one by adding a file and a line here.

Every baseline has the same seeds, shards, readied small models and budget of steps as the run itself.
"""

from collections.abc import Callable

from fedgrow.baselines import fedavg, independent, small, tfidf
from fedgrow.runs.folder import RunFolder

Metrics = dict[str, float]

BASELINES: dict[str, Callable[[RunFolder], list[Metrics]]] = {
    "small": small.run,
    "independent": independent.run,
    "fedavg": fedavg.run,
    "tfidf": tfidf.run,
}
DESCRIPTIONS = {
    "small": "the small model trained on, as many steps",
    "independent": "the same operators, grown alone (no averaging)",
    "fedavg": "the large model from scratch, its body averaged",
    "tfidf": "TF-IDF with logistic regression on the participant's own shard",
}
TASKS_OF = {"tfidf": tfidf.TASKS}
"""The tasks of those baselines that do not fit every task."""
DEFAULT = ("small", "independent", "fedavg")
"""The baselines that fit every task."""
