"""Run a pipeline on recorded drives; the same as ``perception run``."""

import sys

from perception.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
