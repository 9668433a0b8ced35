"""Small maps with random entries."""

import torch

from fedgrow.growth.maps import Selection

SMALL, LARGE = 4, 6


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def selection(index, scale=None, size=SMALL):
    scale = torch.ones(len(index)) if scale is None else torch.tensor(scale)
    return Selection(torch.tensor(index), scale.double(), size)
