"""The command `perception weights`."""

import sys

from perception.cli import main

sys.exit(main(["weights", *sys.argv[1:]]))
