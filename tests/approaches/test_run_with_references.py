"""A whole run with the references that begin with the common grown model."""

from fedgrow.federated.member import member_at
from fedgrow.federated.outcome import read_outcome
from fedgrow.runs.folder import RunFolder
from tests.federation import run_tiny

NAMES = ["fedavg-grown", "fedlora", "pooled"]


def test_one_run_with_all_of_them(tmp_path):
    summary = run_tiny(tmp_path / "run", baselines=NAMES)
    assert set(summary["baselines"]) == set(NAMES)
    run = RunFolder(tmp_path / "run")
    outcomes = {name: read_outcome(run, name) for name in NAMES}
    for name, outcome in outcomes.items():
        assert list(outcome.participants) == run.plan.names
        for ended in outcome.participants.values():
            assert (len(ended.curve), len(ended.flops)) == (2, 2)
            assert ended.metrics == ended.curve[-1]
            assert 0 < ended.flops[0] < ended.flops[1]
            assert (ended.trained < ended.model) == (name == "fedlora")
    averaged, factors, pooled = outcomes.values()
    assert len(averaged.bytes_up) == len(factors.bytes_up) == 2
    assert (pooled.bytes_up, pooled.shared) == ([], 0)
    for name in NAMES[:2]:
        site = member_at(str(run.path), 0, name)
        assert outcomes[name].shared == sum(t.numel() for t in site.shared_start.values())
