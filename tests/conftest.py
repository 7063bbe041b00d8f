"""What holds for the whole test run."""

import os

# The tests start some two hundred processes; each would compile the program anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
