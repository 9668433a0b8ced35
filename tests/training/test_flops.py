"""Arithmetic is counted whatever way a product is written."""

import torch

from fedgrow.training.flops import counted


def test_a_product_that_is_added_in_place_counts_as_one_that_is_not():
    y, a, b = torch.zeros(8, 16), torch.ones(8, 4), torch.ones(4, 16)
    assert counted(lambda: y.addmm_(a, b)) == counted(lambda: torch.addmm(y, a, b)) == 2 * 8 * 4 * 16
