"""Calls of the part "drivers" that wait, for the freeze test: queries that take a while."""

import importlib
import os
from collections.abc import Callable
from typing import Any

from .freeze_help import Unavailable, again

DEFAULT = "postgresql://postgres@127.0.0.1:5432/test"


def query(name: str) -> Callable[[], None]:
    def call() -> None:
        try:
            driver: Any = importlib.import_module(name)
        except ImportError:
            raise Unavailable(
                f"{name} is not installed: pip install 'greenroom[services]'"
            ) from None
        url = os.environ.get("GREENROOM_TEST_POSTGRES") or DEFAULT
        try:
            connection = driver.connect(url)
        except driver.OperationalError as error:
            raise Unavailable(
                f"no postgres answers at {url}: {error}; start one with 'docker compose -f "
                "tests/services/compose.yaml up -d postgres', or say where one is in "
                "GREENROOM_TEST_POSTGRES"
            ) from None
        cursor = connection.cursor()
        again(cursor.execute, "SELECT pg_sleep(0.01)")
        connection.close()

    return call


FREEZE: dict[str, Callable[[], None]] = {
    "psycopg2:": query("psycopg2"),
    "psycopg:": query("psycopg"),
}

NEVER_WAIT: dict[str, str] = {}
