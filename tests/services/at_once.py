"""Ten calls at once, and how to tell that they were. Imported by the programs of these tests.

Plain threads, as any program would use them; under greenroom they are tasks.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

COUNT = 10
PATIENCE = 30  # seconds until what should have happened is given up


def at_once(work, seconds):
    """Call work(0) … work(9) in ten threads; return the list of what they return.

    seconds   how long one call waits for its server. The ten must take less than half of what they
              take one after the other, and a thread that only ticks must have run meanwhile
    """
    ticks = 0
    stop = threading.Event()

    def tick():
        nonlocal ticks
        while not stop.wait(seconds / 30):
            ticks += 1

    ticker = threading.Thread(target=tick)
    ticker.start()
    with ThreadPoolExecutor(COUNT) as pool:
        started = time.monotonic()
        found = list(pool.map(work, range(COUNT)))
        took = time.monotonic() - started
    stop.set()
    ticker.join()
    assert took < seconds * COUNT / 2, f"{COUNT} calls of {seconds} s took {took:.2f} s"
    assert ticks >= 5, f"a thread that ticks ran {ticks} times in {took:.2f} s"
    print(f"took {took:.2f}")
    return found


def all_held(work, waiting, release):
    """Call work(0) … work(9) in ten threads, wait until all ten wait, let them go.

    waiting   returns how many wait at the server now
    release   ends the wait of all
    Returns   the list of what work returned. No clock is read: if one call kept the others from
              running, the ten would never wait together
    """
    with ThreadPoolExecutor(COUNT) as pool:
        futures = [pool.submit(work, number) for number in range(COUNT)]
        deadline = time.monotonic() + PATIENCE
        while (count := waiting()) < COUNT:
            failed = [future for future in futures if future.done()]
            assert not failed, f"ended before it was let go: {failed[0].result()!r}"
            assert time.monotonic() < deadline, f"only {count} of {COUNT} waited together"
            time.sleep(0.01)
        release()
        return [future.result(PATIENCE) for future in futures]
