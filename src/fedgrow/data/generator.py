"""Random generators of the data: one stream for each purpose, so that no draw moves another."""

import zlib

import numpy as np


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Return a generator that depends on the seed and the purpose only, on every machine."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])
