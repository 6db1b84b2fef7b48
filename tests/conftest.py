"""Fixtures that every suite shares."""

import gc
import os
import re
from collections.abc import Iterator
from itertools import chain, groupby, zip_longest
from pathlib import Path

import jaxtyping
import pytest
from hypothesis import settings

# The same examples on every machine, without a time limit for each;
# `pytest --hypothesis-profile explore` searches for new ones.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2000, deadline=None)
settings.load_profile("fixed")

# httpx reads the root certificates again for each client, which takes 20 ms with certifi's, and the
# tests make thousands of clients. None contacts a public server, so one root is enough.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).with_name("one_root.pem"))

# Shapes and dtypes are checked at run time in the modules whose signatures state them. In the
# others the checks would find nothing that mypy does not, and cost as much: reading a table took
# four times as long.
GLITCH = Path(__file__).resolve().parents[1] / "glitch"
STATES_SHAPES = re.compile(r"^from (jaxtyping|glitch\.types) import", re.MULTILINE)
CHECKED = [
    ".".join(path.relative_to(GLITCH.parent).with_suffix("").parts)
    for path in GLITCH.rglob("*.py")
    if STATES_SHAPES.search(path.read_text())
]
jaxtyping.install_import_hook(CHECKED, "beartype.beartype")

pytest_plugins = [  # found through `pythonpath` in pyproject.toml
    *(["line_coverage"] if "LINE_COVERAGE" in os.environ else []),  # before the measured modules
    "postgres_fixtures",
    "service_fixtures",
]

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Provide the folder of public data files, or skip the test if it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real-data tests need the public files in {SHARED_DATA}, which is absent")
    return SHARED_DATA


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """Collect tests without garbage collection, as imported modules stay: a sixth faster."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()  # never scan the imported modules again
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Alternate files of unit tests, which compute, with files of other tests, which wait."""
    computing, waiting = list[list[pytest.Item]](), list[list[pytest.Item]]()
    for path, found in groupby(items, key=lambda item: item.path):
        (computing if path.parent.name == "unit" else waiting).append(list(found))
    turns = zip_longest(waiting, computing, fillvalue=())
    items[:] = chain.from_iterable(chain.from_iterable(turns))
