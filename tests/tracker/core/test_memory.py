"""Memory that is freed goes back to the system."""

import subprocess
import sys

import pytest

CHILD = """
import os
import numpy as np
from tracker.core.memory import LARGE, return_large_blocks

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def picture():
    return np.ones(LARGE + 4_000_000, np.uint8)

if not return_large_blocks():
    raise SystemExit(3)
before = resident()
picture()
pictures, small = [], []
for _ in range(4):
    pictures.append(picture())
    small.append(np.ones(100_000, np.uint8))  # lies behind the picture, so that a heap could not shrink
assert resident() - before > 4 * LARGE
pictures.clear()
assert resident() - before < LARGE, resident() - before
"""


def test_freed_pictures_of_4k_go_back_to_the_system():
    child = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True)
    if child.returncode == 3 or "/proc/self/statm" in child.stderr:
        pytest.skip("not glibc on Linux")
    assert child.returncode == 0, child.stderr
