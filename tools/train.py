"""Train a model from a config: `python tools/train.py CONFIG`."""

import sys

from perception.cli import main

sys.exit(main(["train", *sys.argv[1:]]))
