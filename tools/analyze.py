"""The command `perception analyze`."""

import sys

from perception.cli import main

sys.exit(main(["analyze", *sys.argv[1:]]))
