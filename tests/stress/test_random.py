"""Everything at once, at random, for a while: nothing is left at the end.

GREENROOM_STRESS_SECONDS says how long (5), GREENROOM_STRESS_SEED repeats a run.
"""

import os
import subprocess
import sys
from pathlib import Path


def test_random_spawns_kills_timeouts_and_closes_leave_nothing_behind():
    seconds = float(os.environ.get("GREENROOM_STRESS_SECONDS", "5"))
    program = Path(__file__).with_name("random_program.py")
    done = subprocess.run(
        [sys.executable, str(program), str(seconds), os.environ.get("GREENROOM_STRESS_SEED", "")],
        env={**os.environ, "GREENROOM_DEBUG": "1"},
        capture_output=True,
        text=True,
        timeout=seconds + 60,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing is left" in done.stdout
    assert done.stderr == ""
