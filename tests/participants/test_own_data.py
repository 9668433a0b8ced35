"""What a participant trains on and holds out."""

from fedgrow.federated.resolve import resolve
from fedgrow.federated.simulate import forget
from fedgrow.participants.own_data import OwnData
from fedgrow.runs.folder import RunFolder
from tests.federation import tiny_plan
from tests.tasks.files import slots


def test_no_context_is_trained_on_and_held_out(tmp_path):
    """Two questions about every context, dealt out at random: neither sides nor participants share one."""
    forget()
    data = {"source": str(slots(tmp_path / "slots.parquet")), "test_fraction": 0.4}
    settings = {"task": "question-answering", "family": "bert", "model_settings": {}, "data": data}
    run = RunFolder.create(tmp_path / "run", resolve(tiny_plan(**settings)), "local")
    sides = [
        {asked.context for asked in side.asked} for i in range(3) for side in OwnData(run.path, i).raw_data
    ]
    assert all(sides)
    assert sum(map(len, sides)) == len(set().union(*sides)) == 32
