"""The server's checkpoints: in the order of their rounds, however many digits these have."""

import numpy as np

from fedgrow.federated.checkpoint import Checkpoint, Checkpoints, RoundRecord


def test_rounds_are_in_their_order_past_four_digits(tmp_path):
    kept = Checkpoints(tmp_path)
    for server_round in (9998, 9999, 10000, 10001):
        arrays = {"x": np.full(2, server_round)}
        metrics: dict[str, list[float | None]] = {"loss": [0.5, None]}
        record = RoundRecord(
            round=server_round, metrics=metrics, taken=[server_round, 3], bytes_up=1, bytes_down=2
        )
        kept.write(Checkpoint(record, arrays, {}))
    assert [record.round for record in kept.rounds()] == [9998, 9999, 10000, 10001]
    last = kept.last()
    assert last is not None
    assert (last.record.round, last.record.taken, last.record.metrics) == (
        10001,
        [10001, 3],
        {"loss": [0.5, None]},
    )
