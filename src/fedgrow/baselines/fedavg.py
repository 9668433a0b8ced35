"""Federated averaging of the large model from scratch (McMahan et al., AISTATS 2017), over the same apps and engine.

The body travels; heads stay, and so do tables over the vocabulary unless all participants have the same tokenizer.
"""

from fedgrow.federated.checkpoint import Checkpoints
from fedgrow.federated.client_app import app as client_app
from fedgrow.federated.client_app import participant
from fedgrow.federated.local_grid import run_local
from fedgrow.federated.server_app import app as server_app
from fedgrow.runs.folder import RunFolder


def run(folder: RunFolder) -> list[dict[str, float]]:
    """Return every participant's metrics after the last round."""
    count = len(folder.plan.participants)
    sites = [participant(str(folder.path), index, "dual-ligo") for index in range(count)]
    digests = {site.codec.vocabulary_digest() for site in sites}
    folder.note(common_vocabulary=len(digests) == 1 and None not in digests)
    run_local(server_app, client_app, count, {"run": str(folder.path), "method": "fedavg"})
    last = Checkpoints(folder.baseline("fedavg")).last()
    assert last is not None
    names = [name for name in last.metrics if name != "train_loss"]
    return [{name: last.metrics[name][index] for name in names} for index in range(count)]
