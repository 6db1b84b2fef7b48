"""Fixtures that every suite shares."""

import gc
import os
from collections.abc import Iterator
from itertools import chain, groupby, zip_longest
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples everywhere, however slow the machine; `pytest --hypothesis-profile explore`
# looks for new ones.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2000, deadline=None)
settings.load_profile("fixed")

# httpx reads the root certificates again for each client: 20 ms for the many of certifi, and the
# tests make thousands. None of them asks a public server, so one root is enough.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).with_name("one_root.pem"))

pytest_plugins = [  # found through `pythonpath` in pyproject.toml
    *(["line_coverage"] if "LINE_COVERAGE" in os.environ else []),  # before what it measures
    "postgres_fixtures",
    "service_fixtures",
]

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public files, or a skip that says it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real-data tests need the public files in {SHARED_DATA}, which is absent")
    return SHARED_DATA


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """Collect without looking for garbage: what is imported stays, and a sixth of the time goes."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()  # and never look through it again
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One file of the unit tests after each other file: they compute while others wait."""
    computing, waiting = list[list[pytest.Item]](), list[list[pytest.Item]]()
    for path, found in groupby(items, key=lambda item: item.path):
        (computing if path.parent.name == "unit" else waiting).append(list(found))
    turns = zip_longest(waiting, computing, fillvalue=())
    items[:] = chain.from_iterable(chain.from_iterable(turns))
