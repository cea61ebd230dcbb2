"""python -m greenroom."""

import sys

from greenroom.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
