"""A part of ``benchmarks/fuzz.py``: bad input of every kind ends in a clear error, and in nothing else."""

import pytest
from benchmarks.fuzz import KINDS, run

pytestmark = pytest.mark.slow


def test_bad_input_never_ends_in_a_traceback():
    assert run(KINDS, times=40, seed=1) == []
