"""Child processes that decode files: their results, their restrictions, and how they end."""

from __future__ import annotations

import gzip
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import hostile_files
import numpy as np
import psutil
import pytest
from pace import is_within
from waiting import eventually

from app.core.errors import BusyError
from app.decoding import files
from app.decoding.messages import BrokenMessageError, Message, pack, unpack
from app.decoding.pool import DecoderPool
from glitch.errors import FormatError, GlitchError, StrainError, TooLargeError
from glitch.files import compressed, confinement
from glitch.files.confinement import Limits
from glitch.strain import StrainFile, read_joined_strain, read_strain, strain_span
from glitch.views import Preprocessing

GPS_TIME = Decimal(hostile_files.GPS_START + 16)
RECIPE = Preprocessing()
LIMITS = Limits(cpu_s=1.5, wall_s=8, memory_bytes=512 << 20)


def upload(path: Path, **changes: Any) -> files.ReadUpload:
    options = {"is_array_wanted": True, "is_strain_wanted": True, "gps_time": GPS_TIME}
    return files.read_upload(path, path.name, RECIPE, **(options | changes))


def test_strain_comes_as_the_reader_gives_it(tmp_path: Path) -> None:
    path = hostile_files.good_strain(tmp_path / "good.h5")
    found = upload(path)
    expected = read_strain(path, file_name=path.name, gps_time=GPS_TIME)
    assert found.kind == "strain"
    assert found.strain is not None
    np.testing.assert_array_equal(found.strain.values, expected.values)
    assert found.strain.gps_start == expected.gps_start
    assert (found.strain.ifo, found.strain.channel) == (expected.ifo, expected.channel)
    span = files.span_of(path, path.name)
    assert span == strain_span(path, file_name=path.name)


def test_views_come_as_the_reader_gives_them(tmp_path: Path) -> None:
    path = tmp_path / "views.npz"
    values = np.random.default_rng(3).random((4, 128, 128), dtype=np.float32)
    np.savez(path, views=values)
    found = upload(path)
    assert found.kind == "array"
    assert found.views is not None
    np.testing.assert_allclose(found.views.values, values, atol=1e-6)
    assert found.views.observed.all()
    assert upload(path, is_array_wanted=False).views is None


def _gzipped(path: Path) -> Path:
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes(), 1))
    return packed


def test_gzipped_files_are_read_as_the_files_in_them(tmp_path: Path) -> None:
    values = np.random.default_rng(3).normal(size=32 * 4096)
    np.savez(tmp_path / "a.npz", strain=values, sample_rate_hz=4096, gps_start=int(GPS_TIME) - 16)
    np.save(tmp_path / "a.npy", values)
    hdf5 = hostile_files.good_strain(tmp_path / "a.h5")
    for path in (hdf5, tmp_path / "a.npz", tmp_path / "a.npy"):
        packed, rate = _gzipped(path), 4096.0 if path.suffix == ".npy" else None
        assert files.kinds_of(packed, packed.name) == files.kinds_of(path, path.name)
        assert files.kinds_of(packed, packed.name).is_strain
        plain, found = (upload(one, sample_rate_hz=rate).strain for one in (path, packed))
        assert plain is not None
        assert found is not None
        np.testing.assert_array_equal(found.values, plain.values)
        assert found.gps_start == plain.gps_start
    packed = _gzipped(hdf5)
    assert files.span_of(packed, packed.name) == files.span_of(hdf5, hdf5.name)
    packed.write_bytes(packed.read_bytes()[:-5000])
    with pytest.raises(FormatError, match=r"'a\.h5\.gz' is gzipped, and truncated or damaged"):
        upload(packed)
    np.savez(tmp_path / "views.npz", views=np.ones((4, 128, 128), np.float32))
    assert upload(_gzipped(tmp_path / "views.npz")).kind == "array"


def test_gzip_of_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _gzipped(hostile_files.good_strain(tmp_path / "a.h5"))
    monkeypatch.setattr(compressed, "MAX_GUNZIPPED_BYTES", 1 << 18)
    with pytest.raises(TooLargeError, match=r"'a\.h5\.gz' holds over 0 MiB once unpacked"):
        upload(path)
    path.write_bytes(path.read_bytes() + gzip.compress(b"") * 20_000)
    with pytest.raises(TooLargeError, match="gzipped in over 10,000 pieces: gzip it as one"):
        upload(path)


def test_files_that_abut_are_joined(tmp_path: Path) -> None:
    import h5py

    both = []
    for number in range(2):
        path = tmp_path / f"{number}.h5"
        with h5py.File(path, "w") as file:
            dataset = file.create_dataset(
                "strain", data=np.random.default_rng(number).random(16384)
            )
            dataset.attrs.update({"x0": 1000 + 4 * number, "dx": 1 / 4096, "channel": "H1:A-B"})
        both.append(StrainFile(path, path.name))
    found = files.read_joined(both, gps_time=Decimal(1004))
    expected = read_joined_strain(both, gps_time=Decimal(1004))
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.values.size == 32768


def test_a_refusal_is_the_readers_own(tmp_path: Path) -> None:
    path = hostile_files.good_strain(tmp_path / "good.h5")
    with pytest.raises(StrainError, match="outside the strain"):
        upload(path, gps_time=Decimal(5))


@pytest.mark.parametrize("name", sorted(hostile_files.EMBEDDABLE))
def test_a_hostile_file_is_refused_while_another_is_read(tmp_path: Path, name: str) -> None:
    hostile = hostile_files.EMBEDDABLE[name](tmp_path / name)
    good = hostile_files.good_strain(tmp_path / "good.h5")
    caught: list[BaseException] = []

    def attack() -> None:
        try:
            if upload(hostile).kind is None:
                raise FormatError("of no kind")
        except GlitchError as error:
            caught.append(error)

    thread = threading.Thread(target=attack)
    thread.start()
    assert upload(good).strain is not None
    thread.join(20)
    assert not thread.is_alive()
    assert isinstance(caught[0], FormatError | TooLargeError)


def test_a_child_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "strain.txt"
    path.write_text("1.25e-21\n" * 2_000_000)
    pool = DecoderPool(1)
    options = {"strain": {"sample_rate_hz": 4096.0}}
    started = time.monotonic()
    try:
        for limits in (Limits(0.1, 30, 2 << 30), Limits(30, 0.1, 2 << 30)):
            with pytest.raises(FormatError, match="within the time and memory"):
                pool.perform("strain", path, options, limits, path.name)
    finally:
        pool.close()
    assert is_within(time.monotonic() - started, 8)


def test_requests_beyond_the_bound_wait_and_then_are_refused(tmp_path: Path) -> None:
    path = hostile_files.good_strain(tmp_path / "good.h5")
    pool = DecoderPool(1, timeout_s=0.05)
    with pool.turn(), pytest.raises(BusyError, match="try again"):
        pool.perform("kinds", path, {}, LIMITS, path.name)


def test_a_fork_server_that_was_killed_is_started_again(tmp_path: Path) -> None:
    path = hostile_files.good_strain(tmp_path / "good.h5")
    pool = DecoderPool(1)
    try:
        assert pool.perform("kinds", path, {}, LIMITS, path.name)["is_strain"]
        assert pool._server is not None
        os.kill(pool._server.pid, signal.SIGKILL)
        assert pool.perform("kinds", path, {}, LIMITS, path.name)["is_strain"]
    finally:
        pool.close()


def test_the_fork_server_ends_with_its_parent() -> None:
    script = (
        "from app.decoding.pool import DecoderPool\n"
        "import os, time\n"
        "pool = DecoderPool(); pool.start(); print(pool._server.pid, flush=True)\n"
        "time.sleep(1); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    pid = int(done.stdout)
    eventually(lambda: not psutil.pid_exists(pid))


def test_the_fork_server_is_small_and_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:secret@host/db")
    pool = DecoderPool(1)
    pool.start()
    try:
        assert pool._server is not None
        server = psutil.Process(pool._server.pid)
        eventually(lambda: any("h5py" in m.path for m in server.memory_maps()))
        assert not [m.path for m in server.memory_maps() if "torch" in m.path]
        assert "DATABASE_URL" not in server.environ()
        assert server.memory_info().rss < 120_000_000
    finally:
        pool.close()


CONFINED = """
import os, socket, sys
from pathlib import Path
from glitch.files import confinement
confinement.confine_to([Path(sys.argv[1])])
assert Path(sys.argv[1]).read_bytes() == b"mine"
import colorsys  # one of Python's own, imported late
for forbidden in (
    lambda: open(sys.argv[2]),
    lambda: open("/etc/passwd"),
    lambda: open(sys.argv[1], "w"),
    lambda: open(sys.argv[1] + ".new", "w"),
    lambda: os.listdir("/"),
    lambda: os.execv("/bin/true", ["true"]),
    lambda: socket.socket(socket.AF_UNIX),  # Landlock lets them reach the database's
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    lambda: os.kill(os.getppid(), 0),
    lambda: os.pidfd_open(os.getppid()),
):
    try:
        forbidden()
    except PermissionError:
        continue
    raise SystemExit(f"{forbidden} was possible")
"""


@pytest.mark.skipif(not confinement.landlock_version(), reason="this kernel has no Landlock")
def test_a_child_opens_its_file_and_no_other(tmp_path: Path) -> None:
    allowed, secret = tmp_path / "mine", tmp_path / "secret"
    allowed.write_bytes(b"mine")
    secret.write_text("secret")
    done = subprocess.run(
        [sys.executable, "-c", CONFINED, allowed, secret],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_values_survive_the_journey() -> None:
    value = {"a": [1, 2.5, None, "é", Decimal("1126259462.391")], "b": np.arange(6.0).reshape(2, 3)}
    found = unpack(pack(value))
    np.testing.assert_array_equal(found.pop("b"), value.pop("b"))
    assert found == value


def test_invalid_messages_of_a_decoder_are_refused() -> None:
    import socket

    from app.decoding.messages import receive_message

    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"\xff\xff\xff\xff")
        with pytest.raises(BrokenMessageError):
            receive_message(ours)
        header = b'{"value": 1, "arrays": [["<f8", [1000000000]]]}'
        theirs.sendall(len(header).to_bytes(4, "big") + header)
        with pytest.raises(BrokenMessageError, match="too large"):
            receive_message(ours)
        header = b'{"value": 1, "arrays": [["O", [1]]]}'
        theirs.sendall(len(header).to_bytes(4, "big") + header)
        with pytest.raises(BrokenMessageError):
            receive_message(ours)


def test_an_unforeseen_error_of_a_reader_is_reported_as_damage_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "any"
    path.write_bytes(b"any")
    logger = logging.getLogger("app.decoding")
    monkeypatch.setattr(logger, "disabled", False)  # an earlier test may have disabled it
    caplog.set_level(logging.WARNING, logger.name)
    logger.addHandler(caplog.handler)
    with pytest.raises(FormatError, match="truncated or damaged"):
        files.shared_pool().perform("no such operation", path, {}, LIMITS, "any")
    logger.removeHandler(caplog.handler)
    assert "KeyError" in caplog.records[-1].__dict__["trace"]


def test_arguments_reach_the_operation_as_they_were_given() -> None:
    packed = pack({"recipe": asdict(RECIPE)}).value
    assert unpack(Message(packed))["recipe"]["durations_s"] == list(RECIPE.durations_s)
