"""Fixtures of all tests. Each must leave the scheduler as it found it: no task, no fd wait."""

import gc
import os
from collections.abc import Iterator

import certificates
import pytest
from hypothesis import HealthCheck, settings

import greenroom
from greenroom.core import scheduler as _scheduler
from greenroom.testing.clock import VirtualClock

# How long an example takes, and how long it takes to make one, says how busy the machine is. Where
# CI is set each run has the same examples: what a new one finds is no fault of what is tested.
settings.register_profile(
    "untimed",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("untimed")


@pytest.fixture(autouse=True, scope="module")
def no_garbage_left() -> Iterator[None]:
    """Collect what a test's own collection, which leaves old objects alone, has not found."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves tasks alive; end them, so that the next test starts clean."""
    yield
    scheduler = _scheduler.get()
    left = [task for task in scheduler.tasks() if task is not scheduler.main]
    if left:
        described = ", ".join(map(repr, left))
        for task in left:
            task.kill()
        greenroom.joinall(left, timeout=5)
        pytest.fail(f"tasks were left behind: {described}")
    gc.collect(1)  # a whole one costs 0.1 s with all clients imported


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """The scheduler's time is virtual: sleeps and timeouts take none."""
    with VirtualClock() as clock:
        yield clock


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> certificates.Certificate:
    """The certificate of a server on this machine."""
    folder = tmp_path_factory.mktemp("certificate")
    return certificates.make(folder, "server", "DNS:localhost,IP:127.0.0.1")


@pytest.fixture(scope="session")
def other_certificate(tmp_path_factory: pytest.TempPathFactory) -> certificates.Certificate:
    """The certificate of somebody else: a client, or a second server, other.example."""
    folder = tmp_path_factory.mktemp("other-certificate")
    return certificates.make(folder, "other", "DNS:other.example")
