"""How the C library keeps memory: large pictures go back to the system when they are freed."""

from __future__ import annotations

import ctypes

LARGE = 16_000_000
"""Bytes of a block that lives outside the heap: a picture of 4K. Those of full HD stay in it, which is quicker."""
_MMAP_THRESHOLD = -3
"""glibc's number of that setting (`mallopt(3)`)."""


def return_large_blocks() -> bool:
    """Return to the system what is free, and from now on blocks from `LARGE` on when they are freed; False: it cannot.

    glibc raises this threshold by itself to the largest block ever freed, 32 MB at most. Each thread's heap then keeps
    places of pictures that other threads freed: 300 MB in a run at 4K.
    """
    try:
        library = ctypes.CDLL(None)
        library.malloc_trim(0)
        return bool(library.mallopt(_MMAP_THRESHOLD, LARGE))
    except (AttributeError, OSError, TypeError):  # another C library
        return False
