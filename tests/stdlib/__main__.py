"""python -m tests.stdlib: see compare.py."""

import sys

from .compare import main

sys.exit(main())
