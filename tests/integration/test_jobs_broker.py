"""The Redis that ``up`` starts, with real processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from redis import Redis
from redis import exceptions as redis_errors
from rich.console import Console
from small_disk import small_file_system
from waiting import eventually

from app.core.errors import LaunchError
from app.core.settings import Settings
from app.jobs.broker import celery_url, check_redis_url
from app.launch.redis import broker
from app.launch.redis.broker import find_redis_server, running_broker


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="broker "))  # the space must be escaped in an address
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv("REDIS_URL", raising=False)
    return Settings(data_dir=folder)


@pytest.fixture
def descriptor(folder: Path) -> Iterator[int]:
    opened = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)


def server_of(url: str) -> psutil.Process:
    client = Redis.from_url(url)
    try:
        return psutil.Process(client.info("server")["process_id"])
    finally:
        client.close()


@contextmanager
def broker_of(settings: Settings, folder: Path, descriptor: int) -> Iterator[str]:
    """Run a Redis as the supervisor does, and yield its address."""
    with running_broker(settings, folder, descriptor, Console(stderr=True)) as broker:
        yield broker.url


@pytest.fixture(params=["the machine's", "the wheel's"])
def _program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "the wheel's":
        monkeypatch.setattr(broker, "PROGRAMS", ())


@pytest.mark.usefixtures("_program")
def test_redis_starts_again_empty(folder: Path, settings: Settings, descriptor: int) -> None:
    with running_broker(settings, folder, descriptor, Console(stderr=True)) as running:
        url = running.url
        eventually(lambda: Redis.from_url(url).ping())
        client = Redis.from_url(url)
        client.set("kept", "1")
        killed = server_of(url)
        socket = Path(url.removeprefix("unix://"))
        assert socket.stat().st_mode & 0o077 == 0
        assert socket.parent.stat().st_mode & 0o077 == 0
        killed.kill()

        def is_another() -> bool:
            running.check()  # as the supervisor does all the time
            with suppress(redis_errors.ConnectionError):
                return server_of(url).pid != killed.pid
            return False

        eventually(is_another)
        assert client.get("kept") is None
        client.close()
        last = server_of(url)
    assert not last.is_running()


def test_the_socket_folder_for_a_long_path_is_removed(folder: Path, descriptor: int) -> None:
    long = folder / ("x" * 100)
    long.mkdir()
    with broker_of(Settings(data_dir=long), long, descriptor) as url:
        eventually(lambda: Redis.from_url(url).ping())
        socket = Path(url.removeprefix("unix://"))
        assert long not in socket.parents
    assert not socket.parent.exists()


def test_a_full_disk_keeps_it_from_nothing(
    folder: Path, settings: Settings, descriptor: int
) -> None:
    with small_file_system(folder) as disk, broker_of(settings, disk, descriptor) as url:
        eventually(lambda: Redis.from_url(url).ping())
        (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free))
        client = Redis.from_url(url)
        ended_at = time.monotonic() + 4  # Redis syncs a file that it writes once a second
        while time.monotonic() < ended_at:
            client.set("told", "of a job")
            time.sleep(0.1)
        client.close()


def test_it_ends_with_a_killed_supervisor(folder: Path) -> None:
    script = (
        "import os, sys, time; from pathlib import Path; from app.core.settings import Settings;"
        "from rich.console import Console;"
        "from app.launch.redis.broker import running_broker;"
        "folder = Path(sys.argv[1]); lock = os.open(folder / 'lock', os.O_RDWR | os.O_CREAT);"
        "entered = running_broker(Settings(data_dir=folder), folder, lock, Console(stderr=True));"
        "print(entered.__enter__().url, flush=True); time.sleep(600)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    supervisor = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, env=environment
    )
    assert supervisor.stdout is not None
    url = supervisor.stdout.readline().decode().strip()
    eventually(lambda: Redis.from_url(url).ping())
    server = server_of(url)
    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()
    supervisor.stdout.close()
    eventually(lambda: not server.is_running())


def test_an_operators_own_is_taken_as_it_is(folder: Path, descriptor: int) -> None:
    url = "redis://:secret@queue.example.org:6379/3"
    settings = Settings(data_dir=folder, redis_url=url)
    with broker_of(settings, folder, descriptor) as taken:
        assert taken == url
    assert not (folder / "redis").exists()
    wrong = Settings(data_dir=folder, redis_url="amqp://guest:secret@queue")
    with (
        pytest.raises(LaunchError, match="REDIS_URL is not a Redis address") as raised,
        broker_of(wrong, folder, descriptor),
    ):
        pass
    assert "secret" not in str(raised.value)


def test_a_machine_without_redis_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "PROGRAMS", ())
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(LaunchError, match="install redis-server or valkey-server"):
        find_redis_server()


@pytest.mark.parametrize(
    ("given", "spelt"),
    [
        ("redis://:p@host:6379/0", "redis://:p@host:6379/0"),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock?virtual_host=0"),
        ("unix://:p@/run/redis.sock?db=2", "redis+socket://:p@/run/redis.sock?virtual_host=2"),
    ],
)
def test_addresses_as_celery_spells_them(given: str, spelt: str) -> None:
    assert celery_url(given) == spelt


@pytest.mark.parametrize("wrong", ["", "host:6379", "http://host", "sqlite://"])
def test_wrong_addresses(wrong: str) -> None:
    with pytest.raises(LaunchError, match="give one like"):
        check_redis_url(wrong)
