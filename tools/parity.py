"""The command `perception parity`."""

import sys

from perception.cli import main

sys.exit(main(["parity", *sys.argv[1:]]))
