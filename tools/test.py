"""The command `perception test`."""

import sys

from perception.cli import main

sys.exit(main(["test", *sys.argv[1:]]))
