"""The server's checkpoints: in the order of their rounds, however many digits these have."""

import numpy as np

from fedgrow.federated.checkpoint import Checkpoint, Checkpoints


def test_rounds_are_in_their_order_past_four_digits(tmp_path):
    kept = Checkpoints(tmp_path)
    for server_round in (9998, 9999, 10000, 10001):
        arrays = {"x": np.full(2, server_round)}
        kept.write(Checkpoint(server_round, arrays, {"loss": [0.5, None]}, [server_round, 3], 1, 2))
    assert [record["round"] for record in kept.rounds()] == [9998, 9999, 10000, 10001]
    last = kept.last()
    assert last is not None
    assert (last.server_round, last.taken, last.metrics) == (10001, [10001, 3], {"loss": [0.5, None]})
