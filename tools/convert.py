"""The command `perception convert`."""

import sys

from perception.cli import main

sys.exit(main(["convert", *sys.argv[1:]]))
