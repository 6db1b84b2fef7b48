"""Restrict a child process that decodes an untrusted file.

Limits on memory, processor time, elapsed time and output work on every kernel. Where the kernel has
Landlock (Linux 5.13), the child can open only the file that it decodes and Python's own files.
Elsewhere only the readers' own checks protect against links to other files. Landlock covers neither
sockets in the file system, such as the database's, nor other processes: a filter of system calls
denies those, on the processors whose call numbers are listed below.
"""

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FS_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}  # number of rights to files, by version of Landlock
_NET_RIGHTS = 0b11  # TCP bind and connect, from version 4
_SCOPES = 0b11  # abstract sockets and signals, from version 6


# column in _DENIED, audit architecture
_PROCESSORS = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_DENIED = (  # calls that no decoder needs, by number: new sockets, other programs and processes
    *((41, 198), (42, 203), (49, 200), (50, 201)),  # socket, connect, bind, listen
    *((59, 221), (322, 281)),  # execve, execveat
    *((62, 129), (101, 117), (310, 270), (311, 271)),  # kill, ptrace, process_vm_readv, _writev
    *((424, 424), (434, 434), (438, 438)),  # pidfd_send_signal, pidfd_open, pidfd_getfd
    *((425, 425), (321, 280)),  # io_uring_setup, which would bypass the filter; bpf
    *((165, 40), (308, 268), (169, 142)),  # calls only root may make: mount, setns, reboot
    *((175, 105), (313, 273), (246, 104)),  # init_module, finit_module, kexec_load
)
_SET_SECCOMP, _FILTER = 22, 2
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # classic BPF
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001  # _REFUSE answers EPERM
_OTHER_ABI = 0x40000000  # x32 on x86_64 has other call numbers


@dataclass(frozen=True)
class Limits:
    """The resources that one decoding may use."""

    cpu_s: float | int
    wall_s: float | int
    memory_bytes: int  # in addition to the fork server's own


def prepare() -> None:
    """Look up what every child needs, once before the first fork."""
    if landlock_version():
        _own_folders()
    _call_filter()


@cache
def landlock_version() -> int:
    """Return the kernel's version of Landlock; 0 if it has none."""
    version: int = _libc().syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    return max(version, 0)


def limit(limits: Limits, base_bytes: int) -> None:
    """Limit this process, whose address space is ``base_bytes``; the kernel ends it beyond the
    limits.
    """
    memory = base_bytes + limits.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    whole_s = int(limits.cpu_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (whole_s, whole_s + 1))
    # The default action of both signals ends the process, whichever library is running.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, limits.cpu_s)
    signal.setitimer(signal.ITIMER_REAL, limits.wall_s)


def confine_to(files: Sequence[Path]) -> None:
    """Allow this process to open only these files and Python's own, for reading. Cannot be undone.

    Raises:
        OSError: if the kernel refuses, or a file does not exist.
    """
    _checked(_libc().prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    if version := landlock_version():
        _restrict_files(files, version)
    _deny_calls()


def _restrict_files(files: Sequence[Path], version: int) -> None:
    rights = (1 << _FS_RIGHTS[max(known for known in _FS_RIGHTS if known <= version)]) - 1
    attributes = struct.pack(
        "QQQ", rights, _NET_RIGHTS if version >= 4 else 0, _SCOPES if version >= 6 else 0
    )
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _checked(_libc().syscall(_CREATE_RULESET, attributes, size, 0))
    for folder in _own_folders():
        _allow(ruleset, folder, _READ_FILE | _READ_DIR)
    for file in files:
        descriptor = os.open(file, os.O_PATH | os.O_CLOEXEC)
        _allow(ruleset, descriptor, _READ_FILE)
        os.close(descriptor)
    _checked(_libc().syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def _deny_calls() -> None:
    program = _call_filter()
    if program:
        buffer = ctypes.create_string_buffer(program, len(program))
        described = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
        # Not ``_checked``: the kernel may have been built without seccomp.
        _libc().prctl(_SET_SECCOMP, _FILTER, described, 0, 0)


@cache
def _call_filter() -> bytes:
    """Build the filter that refuses the calls above and other ABIs; empty on other processors."""
    if platform.machine() not in _PROCESSORS:
        return b""
    column, audit = _PROCESSORS[platform.machine()]
    numbers = [call[column] for call in _DENIED]
    steps = [
        (_LOAD, 0, 0, 4),  # the ABI
        (_JUMP_IF_EQUAL, 0, len(numbers) + 3, audit),
        (_LOAD, 0, 0, 0),  # the number
        (_JUMP_IF_AT_LEAST, len(numbers) + 1, 0, _OTHER_ABI),
        *(
            (_JUMP_IF_EQUAL, len(numbers) - index, 0, number)
            for index, number in enumerate(numbers)
        ),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def address_space_bytes() -> int:
    """Return the size of this process's address space in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _allow(ruleset: int, descriptor: int, rights: int) -> None:
    rule = struct.pack("=Qi", rights, descriptor)
    _checked(_libc().syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0))


@cache
def _own_folders() -> tuple[int, ...]:
    """Open the folders whose modules a decoder may import later: Python's and this project's."""
    paths = sysconfig.get_paths()
    roots = {Path(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    roots |= {
        Path(entry) for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))
    }
    project = Path(__file__).resolve().parents[2]
    roots |= {project / "app", project / "glitch"}
    folders = sorted(folder for folder in roots if folder.is_dir())
    return tuple(os.open(folder, os.O_PATH | os.O_CLOEXEC) for folder in folders)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
