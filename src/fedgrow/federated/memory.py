"""What the C library does with memory that was freed."""

import ctypes
import sys
from functools import cache

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt, see malloc.h
MOST = 2**31 - 1  # bytes; what an int can hold


@cache
def keep_freed_memory() -> bool:
    """Have glibc keep large blocks that are freed, rather than give them back and fetch them anew page by page.

    On its way a message is copied several times. Where it holds a whole model, most of that time went into fetching pages
    for the copies (benchmarks/message_memory.py). What is kept is free for the next arrays.

    Returns:
        Whether it does now; elsewhere than on glibc nothing is changed.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and all([mallopt(TRIM_THRESHOLD, MOST), mallopt(MMAP_THRESHOLD, MOST)])
