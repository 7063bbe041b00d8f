"""`python -m freeze`."""

import sys

from freeze.cli import main

sys.exit(main(sys.argv[1:]))
