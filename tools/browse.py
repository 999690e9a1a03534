"""The command `perception browse`."""

import sys

from perception.cli import main

sys.exit(main(["browse", *sys.argv[1:]]))
