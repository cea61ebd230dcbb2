"""Run the tests of other packages patched, and compare with what they say on plain asyncio.

    python scripts/peers.py --list
    python scripts/peers.py janus anyio --python .venvs/3.14/bin/python
    python scripts/peers.py --ci                the short selection
    python scripts/peers.py --all --record      everything; the results go into scripts/peers.json
    python scripts/peers.py anyio --test 'tests/test_signals.py::test_receive_signals[asyncio]'

Each package is downloaded from PyPI as its sdist, of the version in tests/peers/suites.py, for its
tests; the package itself is installed into an environment of its own below .venvs/peers. Its suite
is run patched (patch_all() before anything else is imported) and on plain asyncio. A test that
passes on asyncio and does not pass patched is a difference. tests/peers/known.py lists the known
ones with their reasons, and is strict: one that no longer differs is an error, too.

The interpreter that --python names must have greenroom; its packages are not used. PostgreSQL must
answer on port 5432 and Redis on 6379 for the packages that talk to them (tests/services/README.md).
"""

import sys
from pathlib import Path

# In the place of this folder, in which `peers` would be this file.
sys.path[0] = str(Path(__file__).resolve().parent.parent / "tests")

from peers.compare import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(__doc__))
