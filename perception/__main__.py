"""``python -m perception`` is the console command."""

import sys

from perception.cli import main

sys.exit(main())
