"""List the members of a tar or zip in order, and read a single member.

Members are never unpacked to disk under their own names, links are never followed, and declared
sizes are checked before anything is unpacked. A member is read later by its position in the file,
so many workers can share one archive without reading its table of contents again.
"""

import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

from glitch.errors import FormatError, TooLargeError
from glitch.files.compressed import MAX_RATIO, RATIO_FROM_BYTES

MAX_MEMBERS = 4_000_000  # for a tar: Gravity Spy's whole catalogue has 2.5 million pictures
MAX_ZIP_MEMBERS = 300_000  # a zip's table of contents is held in memory while it is read
MAX_ZIP_CONTENTS_BYTES = 100_000_000
MAX_MEMBER_BYTES = 1_000_000_000  # 4096 s of strain at 16 kHz take half of that
LONGEST_NAME = 1000

PLAIN, STORED, DEFLATED = "plain", "stored", "deflated"
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_CONTENTS_END = struct.Struct("<4s4H2IH")
_NESTED = re.compile(r"\.(zip|tar|tgz|tbz2?|txz|7z|rar|zst|bz2|xz|gz)\Z", re.IGNORECASE)
_MAY_BE_GZIPPED = re.compile(  # for HDF5 and NumPy the reader says how to unpack them
    r"\.(xml|csv|txt|tsv|ecsv|dat|gwf|hdf5?|h5|np[yz])\.gz\Z", re.IGNORECASE
)
_SYSTEM_FILES = re.compile(
    r"(\A|[/\\])(__MACOSX[/\\]|@eaDir[/\\]|\.(git|ipynb_checkpoints|Trash[^/\\]*)[/\\]|\._|~\$"
    r"|(\.DS_Store|(eh)?thumbs\.db|desktop\.ini|[^/\\]+(~|\.sw[op])|#[^/\\]+#)\Z)",
    re.IGNORECASE,
)
_CHUNK_BYTES = 1 << 20
_MAX_TAR_READ = 1 << 20  # a tar header may declare any length
_IS_ENCRYPTED, _SIZES_FOLLOW, _IS_UTF8 = 1, 8, 0x800  # bits in a zip's headers
_METHODS = {zipfile.ZIP_STORED: STORED, zipfile.ZIP_DEFLATED: DEFLATED}
_DAMAGED_ZIP = "The zip is damaged or incomplete, and no member can be read: send it again."
_DAMAGED_REST = (
    "The tar is damaged from here on. Everything before was read: pack it again for the rest."
)


class Member(NamedTuple):
    """One file in an archive, and where its bytes are."""

    name: str
    offset: int  # of the first byte in a tar, of the local header in a zip
    stored: int  # bytes in the archive
    size: int  # unpacked size in bytes
    method: str = PLAIN
    crc: int | None = None


@dataclass(frozen=True)
class Refused:
    """A member or row that is not read, and why."""

    name: str
    reason: str
    is_harmless: bool = False  # a file of an operating system or editor: skipped, not failed


def is_archive(path: Path) -> bool:
    """Return whether a file is a tar or a zip, judged by its first bytes."""
    with path.open("rb") as file:
        head = file.read(262)
    # An empty tar consists of zeros. Tars from before POSIX have no magic number and are not read.
    return head.startswith(b"PK") or head[257:262] == b"ustar" or not any(head)


def list_members(path: Path, max_bytes: int) -> Iterator[Member | Refused]:
    """Yield every member of a plain tar or a zip, in the archive's order, without folders.

    Raises:
        FormatError: if the file is not a readable archive.
        TooLargeError: if it has too many members or would unpack to over ``max_bytes``.
    """
    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK"
    total = 0
    for count, member in enumerate(_zip_members(path) if is_zip else _tar_members(path), 1):
        if count > MAX_MEMBERS:
            raise TooLargeError(
                f"The archive has over {MAX_MEMBERS:,} members: send it in several parts."
            )
        if isinstance(member, Member):
            total += member.size
            if total > max_bytes:
                raise TooLargeError(
                    f"The archive would unpack to over {max_bytes / 1e9:g} GB: send it in several "
                    "parts."
                )
            yield _judged(member)
        else:
            yield member


def read_member(file: BufferedIOBase, member: Member) -> bytes:
    """Return the bytes of one member, never more than its declared size.

    Raises:
        FormatError: if the member is damaged.
    """
    damaged = FormatError(f"{shown(member.name)} is damaged within the archive: pack it again.")
    offset = member.offset
    if member.method != PLAIN:
        file.seek(offset)
        header = file.read(_LOCAL_HEADER.size)
        if len(header) != _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
            raise damaged
        *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        offset += _LOCAL_HEADER.size + name_length + extra_length
    file.seek(offset)
    data = file.read(member.stored)
    if member.method == DEFLATED:
        try:
            data = zlib.decompressobj(-15).decompress(data, member.size + 1)
        except zlib.error:
            raise damaged from None
    if len(data) != member.size or (member.crc is not None and zlib.crc32(data) != member.crc):
        raise damaged
    return data


def shown(name: str) -> str:
    """Return a member's name as lists and messages show it: printable, at most 120 characters."""
    printable = "".join(c if c.isprintable() else "?" for c in name)
    return printable if len(printable) <= 120 else "…" + printable[-119:]


def _text(name: str) -> str:
    """Replace bytes of a tar member's name that are not UTF-8, so that a database can store it."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _judged(member: Member) -> Member | Refused:  # noqa: PLR0911  (one return a reason)
    """Return the member, or ``Refused`` if its name or declared size is not acceptable."""
    name = member.name
    label = shown(name)
    if _SYSTEM_FILES.search(name):
        return Refused(
            label, "Left out: a file of an operating system or an editor.", is_harmless=True
        )
    parts = re.split(r"[/\\]", name)
    if name.startswith(("/", "\\")) or ".." in parts or re.match(r"[A-Za-z]:", name):
        return Refused(
            label, "Its name is a path that leads outside the archive: pack it under a plain name."
        )
    if "\0" in name or len(name) > LONGEST_NAME:
        return Refused(label, "Its name is not a valid file name: pack it under a plain one.")
    if _NESTED.search(name) and not _MAY_BE_GZIPPED.search(name):
        return Refused(label, "An archive within the archive is not opened: unpack it first.")
    if member.size == 0:
        return Refused(label, "It is empty: pack it again.")
    if member.size > MAX_MEMBER_BYTES:
        return Refused(
            label,
            f"It declares {member.size:,} bytes; at most {MAX_MEMBER_BYTES:,} are read: cut it "
            "to a smaller file.",
        )
    if member.size > RATIO_FROM_BYTES and member.size > MAX_RATIO * member.stored:
        return Refused(
            label,
            f"It would unpack to {member.size:,} bytes from {member.stored:,}, far more than any "
            "picture or strain would, so it is not read. If this is correct, pack it uncompressed.",
        )
    return member


class _ShortReads:
    """A file that refuses single reads longer than a tar header needs."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_TAR_READ:
            raise tarfile.ReadError("a header of this length is not read")
        return self._file.read(size)


def _tar_members(path: Path) -> Iterator[Member | Refused]:
    length = path.stat().st_size
    with path.open("rb") as file:
        try:
            archive = tarfile.open(fileobj=_ShortReads(file), mode="r:")  # type: ignore[call-overload]  # noqa: SIM115
        except (tarfile.TarError, EOFError, OSError):
            raise FormatError("The tar is damaged at its start: pack it again.") from None
        while True:
            try:
                info = archive.next()
            except (tarfile.TarError, EOFError, OSError, ValueError):
                yield Refused("(the rest of the archive)", _DAMAGED_REST)
                return
            if info is None:
                yield from _rest_of_tar(file, archive.offset)
                return
            if archive.offset <= info.offset:  # a negative size would lead back to this header
                yield Refused("(the rest of the archive)", _DAMAGED_REST)
                return
            archive.members.clear()  # otherwise it would keep every member in memory
            if info.isdir():
                continue
            if not info.isreg() or info.sparse is not None:
                yield Refused(
                    shown(info.name),
                    "Links, devices and sparse files are not followed: pack the file itself.",
                )
            elif not 0 <= info.size <= length - info.offset_data:
                yield Refused(
                    shown(info.name), "The archive ends in the middle of this file: send it again."
                )
            else:
                yield Member(_text(info.name), info.offset_data, info.size, info.size)


def _rest_of_tar(file: BufferedIOBase, offset: int) -> Iterator[Refused]:
    """Report damage where tarfile stopped: it takes any unreadable header for the end of the
    archive.
    """
    file.seek(offset)
    block = file.read(tarfile.BLOCKSIZE)
    if not block:
        yield Refused(
            "(the end of the archive)",
            "The tar has no end marker, so it may be truncated. Everything in it was read: "
            "compare it with what you packed, and send it again if something is missing.",
        )
    elif any(block):
        yield Refused("(the rest of the archive)", _DAMAGED_REST)


def _zip_members(path: Path) -> Iterator[Member | Refused]:
    length = path.stat().st_size
    if not _has_zip_contents(path, length):
        yield from _cut_zip_members(path, length)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error):
        raise FormatError(_DAMAGED_ZIP) from None
    if sum(info.compress_size for info in infos) > length:
        raise TooLargeError(
            "Members of the zip overlap, as in a zip bomb: it is not read. Pack the files again."
        )
    for info in infos:
        name, offset, stored = info.filename, info.header_offset, info.compress_size
        if name.endswith("/"):
            continue
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            yield Refused(shown(name), "Links and devices are not followed: pack the file itself.")
        elif not 0 <= offset < length:
            yield Refused(shown(name), "Its data lie outside the archive: pack it again.")
        else:
            method = _METHODS.get(info.compress_type, "")
            member = Member(name, offset, stored, info.file_size, method, info.CRC)
            yield _zip_member(member, info.flag_bits)


def _zip_member(member: Member, flags: int) -> Member | Refused:
    label = shown(member.name)
    if flags & _IS_ENCRYPTED:
        return Refused(label, "It is encrypted: pack it without a password.")
    if not member.method:
        return Refused(label, "Its compression method is not supported: use deflate or none.")
    return member


def _cut_zip_members(path: Path, length: int) -> Iterator[Member | Refused]:
    """Yield the complete members of a zip without a table of contents, found by their local
    headers.
    """
    offset = count = 0
    with path.open("rb") as file:
        while len(header := file.read(_LOCAL_HEADER.size)) == _LOCAL_HEADER.size:
            magic, _, flags, method, _, _, crc, stored, size, *lengths = _LOCAL_HEADER.unpack(
                header
            )
            name = file.read(lengths[0]).decode("utf-8" if flags & _IS_UTF8 else "cp437", "replace")
            begin = offset + len(header) + sum(lengths)
            end = begin + stored
            if magic != b"PK\x03\x04":
                break
            if flags & _SIZES_FOLLOW:
                measured = _measured(file, begin) if _METHODS.get(method) == DEFLATED else None
                if measured is None:
                    break
                stored, size, crc, end = measured
            if end > length:
                break
            if not name.endswith("/"):
                count += 1
                member = Member(name, offset, stored, size, _METHODS.get(method, ""), crc)
                yield _zip_member(member, flags)
            offset = file.seek(end)
    if not count:
        raise FormatError(_DAMAGED_ZIP)
    yield Refused(
        "(the rest of the archive)",
        "The zip is truncated. Its complete members were read: send it again for the others.",
    )


def _measured(file: BufferedIOBase, begin: int) -> tuple[int, int, int, int] | None:
    """Measure a member whose sizes follow its data, as in a zip written as a stream.

    Returns:
        Its stored size, unpacked size, checksum and the position of the next header; None if the
        data do not end or do not match their checksum.
    """
    unpacker = zlib.decompressobj(-15)
    size = crc = read = 0
    file.seek(begin)
    try:
        while not unpacker.eof:
            data = unpacker.unconsumed_tail
            if not data:
                data = file.read(_CHUNK_BYTES)
                read += len(data)
            unpacked = unpacker.decompress(data, _CHUNK_BYTES)
            size, crc = size + len(unpacked), zlib.crc32(unpacked, crc)
            if size > MAX_MEMBER_BYTES or not (data or unpacked):
                return None
    except zlib.error:
        return None
    stored = read - len(unpacker.unused_data)
    file.seek(begin + stored)
    after = file.read(28)
    # optional signature; zip64 sizes have 8 bytes
    for at, width in ((4, 4), (0, 4), (4, 8), (0, 8)):
        end = at + 4 + 2 * width
        sizes = struct.pack("<I" + ("2I" if width == 4 else "2Q"), crc, stored, size)
        if after[at:end] == sizes and (not at or after.startswith(b"PK\x07\x08")):
            return stored, size, crc, begin + stored + end
    return None


def _has_zip_contents(path: Path, length: int) -> bool:
    """Return whether the zip has a table of contents, and check its size before it is read.

    In a truncated zip, the last table of contents may belong to an npz inside it.

    Raises:
        TooLargeError: if there are too many members to hold the table in memory.
    """
    tail_length = min(length, 65_557 + 20)
    with path.open("rb") as file:
        file.seek(length - tail_length)
        tail = file.read(tail_length)
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) - at < _CONTENTS_END.size:
            return False
        _, _, _, _, count, contents, begin, _ = _CONTENTS_END.unpack_from(tail, at)
        if tail[max(at - 20, 0) : at].startswith(b"PK\x06\x07"):  # zip64
            file.seek(min(length, struct.unpack_from("<Q", tail, at - 12)[0]))
            record = file.read(56)
            if len(record) < 56 or not record.startswith(b"PK\x06\x06"):
                return False
            count, contents = struct.unpack_from("<2Q", record, 32)
        elif begin + contents != length - tail_length + at:
            return False
    if count > MAX_ZIP_MEMBERS or contents > MAX_ZIP_CONTENTS_BYTES:
        raise TooLargeError(
            f"The zip has over {MAX_ZIP_MEMBERS:,} members: pack so many as a tar, which is read "
            "without holding its table of contents in memory."
        )
    return True
