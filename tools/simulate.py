"""The command `perception simulate`."""

import sys

from perception.cli import main

sys.exit(main(["simulate", *sys.argv[1:]]))
