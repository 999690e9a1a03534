"""The command `perception data`."""

import sys

from perception.cli import main

sys.exit(main(["data", *sys.argv[1:]]))
