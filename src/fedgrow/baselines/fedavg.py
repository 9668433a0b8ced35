"""Federated averaging of the large model from scratch (McMahan et al., AISTATS 2017), by the same apps, in this process.

What travels here is the model: the large body. That is the point of comparison, and why it is a baseline. Averaged is
every tensor of the body that has the same shape at all participants; heads and poolers stay, and so do tables over the
vocabulary unless all participants have the same tokenizer.
"""

import torch

from fedgrow.federated.checkpoint import Checkpoints
from fedgrow.federated.client_app import app as client_app
from fedgrow.federated.client_app import participant
from fedgrow.federated.local_grid import run_local
from fedgrow.federated.participant import Participant
from fedgrow.federated.server_app import app as server_app
from fedgrow.methods.scratch import scratch
from fedgrow.methods.whole_model import body_names
from fedgrow.runs.atomic import write_tensors
from fedgrow.runs.folder import RunFolder


def run(folder: RunFolder) -> list[dict[str, float]]:
    """Return every participant's metrics after the last round."""
    count = len(folder.plan.participants)
    sites = [participant(str(folder.path), index, "dual-ligo") for index in range(count)]
    names = shared_names(sites)
    folder.note(fedavg_shared=names)
    start = scratch(sites[0].small_model, folder.plan, shared=names).shared_start()
    write_tensors(folder.baseline("fedavg") / "start.safetensors", start)
    run_local(server_app, client_app, count, {"run": str(folder.path), "method": "fedavg"})
    last = Checkpoints(folder.baseline("fedavg")).last()
    assert last is not None
    end = {name: torch.from_numpy(array) for name, array in last.arrays.items()}
    large = [participant(str(folder.path), index, "fedavg") for index in range(count)]
    return [site.evaluate_round(end, last.server_round) for site in large]


def shared_names(sites: list[Participant]) -> list[str]:
    """Return the tensors of the large body that mean the same at all participants."""
    digests = {site.codec.vocabulary_digest() for site in sites}
    same_words = len(digests) == 1 and None not in digests
    shapes = []
    for site in sites:
        model = scratch(site.small_model, site.plan, shared=())
        body = body_names(model.reading, vocabulary=same_words)
        shapes.append({name: tuple(model.start[name].shape) for name in body})
    return [name for name, shape in shapes[0].items() if all(s.get(name) == shape for s in shapes)]
