"""How the C library keeps memory: large pictures go back to the system when they are freed."""

from __future__ import annotations

import ctypes

LARGE = 16_000_000
"""Bytes of a block that lives outside the heap: a picture of 4K. One of full HD is reused in the heap, which is quicker."""
_MMAP_THRESHOLD = -3
"""glibc's number of that setting (`mallopt(3)`)."""


def return_large_blocks() -> bool:
    """Have blocks from `LARGE` on returned to the system as soon as they are freed; False where that cannot be asked.

    glibc raises this threshold by itself to the largest block ever freed, 32 MB at most. Each thread's heap then keeps
    places of pictures that other threads freed: 300 MB in a run at 4K.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return False
    return bool(mallopt(_MMAP_THRESHOLD, LARGE))
