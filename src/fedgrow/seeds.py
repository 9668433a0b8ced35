"""Seeds: every random draw of a run has its own stream, named by what it is for."""

import numpy as np

PARTITION, DATA, INIT, TRAIN, OPERATOR, SAMPLE = 1, 2, 3, 4, 5, 6


def derive(seed: int, *path: int) -> int:
    """Derive an independent seed (63 bits) from the run's seed and a path such as (TRAIN, participant, round)."""
    # a spawn key, for [seed, *path] as one entropy would make a path and the same with zeros after it equal
    high, low = np.random.SeedSequence(seed, spawn_key=path).generate_state(2, np.uint32)
    return (int(high) << 32 | int(low)) >> 1
