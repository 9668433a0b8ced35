"""Fed-Grow and what it is measured against, one approach per file; add one by adding a file, and its import and a line here.

Every approach has the same seeds, shards, prepared small models and budget of steps.
"""

from fedgrow.approaches.base import Alone, Approach, Ended, Federated, Outcome, Together
from fedgrow.approaches.fed_grow import FedGrow
from fedgrow.approaches.fedavg import FedAvg
from fedgrow.approaches.fedavg_grown import FedAvgGrown
from fedgrow.approaches.fedlora import FedLora
from fedgrow.approaches.fedproto import FedProto
from fedgrow.approaches.fedprox import FedProx
from fedgrow.approaches.fedrolex import FedRolex
from fedgrow.approaches.heterofl import HeteroFL
from fedgrow.approaches.independent import Independent
from fedgrow.approaches.linear_probe import LinearProbe
from fedgrow.approaches.pooled import Pooled
from fedgrow.approaches.small import Small
from fedgrow.approaches.tfidf import TfIdf

FED_GROW = FedGrow()
BASELINES: dict[str, Approach] = {
    approach.name: approach
    for approach in (
        Small(),
        Independent(),
        FedAvg(),
        FedProx(),
        FedAvgGrown(),
        FedLora(),
        HeteroFL(),
        FedRolex(),
        FedProto(),
        LinearProbe(),
        Pooled(),
        TfIdf(),
    )
}
APPROACHES: dict[str, Approach] = {FED_GROW.name: FED_GROW} | BASELINES

__all__ = [
    "APPROACHES",
    "BASELINES",
    "FED_GROW",
    "Alone",
    "Approach",
    "Ended",
    "Federated",
    "Outcome",
    "Together",
]
