"""The command `perception run`."""

import sys

from perception.cli import main

sys.exit(main(["run", *sys.argv[1:]]))
