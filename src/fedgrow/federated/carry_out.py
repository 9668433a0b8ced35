"""Carry out one approach of a run: over an engine where it is federated, else participant by participant."""

from collections.abc import Mapping, Sequence

import torch

from fedgrow.approaches import APPROACHES, FED_GROW, Alone, Ended, Federated, Outcome, Together
from fedgrow.approaches.rounds import flops_by_round
from fedgrow.approaches.schedule import of_participant
from fedgrow.architectures.models import count
from fedgrow.federated.checkpoint import Checkpoints
from fedgrow.federated.client_app import app as client_app
from fedgrow.federated.local_grid import Tap, run_local
from fedgrow.federated.member import Member, member_at
from fedgrow.federated.outcome import has_outcome, read_outcome, write_outcome
from fedgrow.federated.server_app import app as server_app
from fedgrow.learners import Tensors
from fedgrow.runs.folder import RunFolder
from fedgrow.training.loop import one_thread


def carry_out(run: RunFolder, name: str, engine: str = "local", tap: Tap | None = None) -> Outcome:
    """Carry out an approach, unless an earlier part of this run already did, and keep what came of it.

    Args:
        run: the run.
        name: the approach.
        engine: what carries Fed-Grow's messages (``local`` or ``ray``); baselines are carried in this process.
        tap: sees the bytes of Fed-Grow's messages (local engine only).
    """
    if has_outcome(run, name):
        return read_outcome(run, name)
    approach = APPROACHES[name]
    if isinstance(approach, Federated):
        if approach is not FED_GROW:
            approach.settle(run, prepared_sites(run))
            member_at.cache_clear()  # else every small model would be held twice
        _federate(run, name, engine, tap if approach is FED_GROW else None)
        with one_thread():
            outcome = _federated(run, approach)
    else:
        sites = prepared_sites(run)
        with one_thread():
            if isinstance(approach, Alone):
                ended = [approach.run(site) for site in sites]
            else:
                assert isinstance(approach, Together)
                ended = approach.run(sites)
        outcome = Outcome(dict(zip(run.plan.names, ended, strict=True)), [], [], 0)
    write_outcome(run, name, outcome)
    return outcome


def prepared_sites(run: RunFolder) -> list[Member]:
    """Return all participants, each with its small model prepared."""
    sites = [member_at(str(run.path), i, FED_GROW.name) for i in range(len(run.plan.participants))]
    for site in sites:
        with one_thread():
            site.prepare()
    return sites


def _federate(run: RunFolder, name: str, engine: str, tap: Tap | None) -> None:
    config: dict[str, str | int] = {"run": str(run.path), "method": name}
    people = len(run.plan.participants)
    if engine == "ray" and name == FED_GROW.name:
        from fedgrow.federated.ray_engine import run_ray

        run_ray(people, config, run.path)
    else:
        run_local(server_app, client_app, people, config, tap)


def _federated(run: RunFolder, approach: Federated) -> Outcome:
    """Gather what a federation left on disk: the server's checkpoints and every participant's own state."""
    checkpoints = Checkpoints(run.approach(approach.name))
    last, records = checkpoints.last(), checkpoints.rounds()[1:]
    assert last is not None
    end = {name: torch.from_numpy(array) for name, array in last.arrays.items()}
    sites = [member_at(str(run.path), i, approach.name) for i in range(len(run.plan.participants))]
    curves: list[list[Evaluated]] = [
        [_of(record.metrics, i, run.plan.metrics) for record in records] for i in range(len(sites))
    ]
    ended = {
        site.name: _ended(site, end, last.record.round, curve)
        for site, curve in zip(sites, curves, strict=True)
    }
    return Outcome(
        ended,
        [record.bytes_up for record in records],
        [record.bytes_down for record in records],
        sum(t.numel() for site in sites for t in site.shared_start.values()) // len(sites),
    )


Evaluated = Mapping[str, float | None]


def _of(metrics: Mapping[str, list[float | None]], index: int, names: Sequence[str]) -> Evaluated:
    return {name: metrics[name][index] for name in names}


def _ended(site: Member, shared: Tensors, server_round: int, curve: list[Evaluated]) -> Ended:
    learner, approach = site.learner, site.approach
    private = site.private_after(server_round)
    mine = approach.down(site.run, shared, site.index, server_round)
    training = approach.training(site.plan.training)
    rounds = of_participant(approach.rounds(site.plan), site.plan, site.index)
    flops = flops_by_round(site, learner, rounds, training, trains=approach.trains, sends=True)
    model, numbers = learner.materialise(mine, private), learner.trained()
    steps = site.plan.schedule.finetune_steps
    if approach is FED_GROW and steps:
        tuned = site.finetune(model, steps)
        metrics = tuned.metrics
        curve.append(metrics)
        flops.append(flops[-1] + tuned.flops)
        numbers += count(model)
    else:
        metrics = site.evaluate(learner, mine, private)
    return Ended(metrics, curve, flops, numbers, count(model))
