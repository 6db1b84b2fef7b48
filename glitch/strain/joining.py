"""Read the stretch around a GPS time from several adjacent files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from glitch.errors import StrainError
from glitch.strain.missing import joined_overlap
from glitch.strain.reading import detector_of, open_strain, read_strain
from glitch.strain.series import LONGEST_SEGMENT_S, SHORTEST_SEGMENT_S, Strain
from glitch.strain.source import Request, check_size

_ALIGNED = 0.01  # fraction of a sample: largest offset of a file from the sample times of the first


@dataclass(frozen=True)
class StrainFile:
    """A strain file and its original name."""

    path: Path
    name: str


def read_joined_strain(
    files: Sequence[StrainFile],
    *,
    gps_time: Decimal,
    sample_rate_hz: float | None = None,
    channel: str | None = None,
    ifo: str | None = None,
    preferred_channel: str | None = None,
) -> Strain:
    """Read the 64 s around a GPS time, as far as these files contain them.

    Samples that several files hold for the same time are used once, and must be equal.

    Args:
        files: in order of time, without a gap between them.
        gps_time: GPS time of the glitch in seconds.
        sample_rate_hz: needed if the files do not state it.
        channel: needed if the files hold several.
        ifo: detector, as in ``read_strain``.
        preferred_channel: as in ``read_strain``.

    Raises:
        GlitchError: as ``read_strain``.
        StrainError: if there is a gap, or the files differ in rate, detector, channel, or in
            samples of the same time.
    """
    if len(files) == 1:
        [only] = files
        return read_strain(
            only.path,
            file_name=only.name,
            gps_time=gps_time,
            sample_rate_hz=sample_rate_hz,
            channel=channel,
            ifo=ifo,
            preferred_channel=preferred_channel,
        )
    pieces = [
        (
            file,
            read_piece(
                file.path,
                Request(file.name, gps_time, sample_rate_hz, channel, ifo, preferred_channel),
            ),
        )
        for file in files
    ]
    return join_pieces(pieces, gps_time)


def join_pieces(found: Sequence[tuple[StrainFile, Strain | None]], gps_time: Decimal) -> Strain:
    """Join what ``read_piece`` found in adjacent files, in order of time.

    Raises:
        StrainError: if there is a gap, or the files differ in rate, detector, channel, or in
            samples of the same time.
    """
    joined = [(file, piece) for file, piece in found if piece is not None]
    if not joined:
        raise StrainError(
            f"None of the files holds strain within 32 s of GPS time {gps_time}: send the "
            "files around it, or correct gps_time."
        )
    joined = _alike_around(joined, gps_time)
    first = joined[0][1]
    values = first.values
    for file, piece in joined[1:]:
        _check_alike(first, piece, file)
        length = values.size
        at = float((piece.gps_start - first.gps_start) * Decimal(first.sample_rate_hz))
        if abs(at - round(at)) > _ALIGNED:
            raise StrainError(
                f"{file.name!r} does not start on a sample of the file before it: send one "
                "file that holds the whole stretch."
            )
        if round(at) > length:
            gap_s = (round(at) - length) / first.sample_rate_hz
            raise StrainError(
                f"There is a gap of {gap_s:g} s before {file.name!r}, and gaps are not bridged: "
                "send the file that fills it."
            )
        start, new = round(at), piece.values[max(-round(at), 0) :]
        start = max(start, 0)
        shared = min(length - start, new.size)
        overlap = joined_overlap(values[start : start + shared], new[:shared])
        if overlap is None:
            raise StrainError(
                f"{file.name!r} and the files before it hold different samples of the same "
                f"{shared / first.sample_rate_hz:g} s: send one of them."
            )
        values = np.concatenate([values[:start], overlap, values[start + shared :], new[shared:]])
    return Strain(
        values=values,
        sample_rate_hz=first.sample_rate_hz,
        gps_start=first.gps_start,
        ifo=first.ifo,
        channel=first.channel,
    )


def _alike_around(
    pieces: list[tuple[StrainFile, Strain]], gps_time: Decimal
) -> list[tuple[StrainFile, Strain]]:
    """Return the files with the same rate, detector and channel as the one that contains the time.

    They are returned if they cover 4 s on each side of the time; otherwise all files are, so that
    the caller's error names the first that differs.
    """
    depths = [min(gps_time - one.gps_start, one.gps_end - gps_time) for _, one in pieces]
    core = pieces[at := depths.index(max(depths))][1]
    first, last = at, at + 1
    while first and _kind(pieces[first - 1][1]) == _kind(core):
        first -= 1
    while last < len(pieces) and _kind(pieces[last][1]) == _kind(core):
        last += 1
    before, after = gps_time - pieces[first][1].gps_start, pieces[last - 1][1].gps_end - gps_time
    return pieces[first:last] if min(before, after) >= SHORTEST_SEGMENT_S / 2 else pieces


def _kind(strain: Strain) -> tuple[object, ...]:
    return strain.sample_rate_hz, strain.ifo, strain.channel


def other_of_same_time(strain: Strain, other: Strain, name: str, other_name: str) -> str | None:
    """Describe, as a sentence, what another file holds for the time of strain that was read.

    Args:
        strain: the strain that was read.
        other: the strain in the other file.
        name: name of the file that was read.
        other_name: name of the other file.

    Returns:
        None if the samples are the same.

    Raises:
        StrainError: if both files hold different samples and no different channels are stated.
    """
    of_another = f"{other_name!r} holds strain of the same time and was not read, because it is of"
    if other.channel and strain.channel and other.channel != strain.channel:
        return f"{of_another} {other.channel}."
    if other.sample_rate_hz != strain.sample_rate_hz:
        return f"{of_another} {other.sample_rate_hz:g} Hz."
    at = round((other.gps_start - strain.gps_start) * Decimal(strain.sample_rate_hz))
    first, second = strain.values[max(at, 0) :], other.values[max(-at, 0) :]
    length = min(first.size, second.size)
    if joined_overlap(first[:length], second[:length]) is None:
        raise StrainError(
            f"{name!r} and {other_name!r} hold different samples of the same "
            f"{length / strain.sample_rate_hz:g} s: send one of them, or give channel."
        )
    return None


def read_piece(path: Path, request: Request) -> Strain | None:
    """Read a file's part of the 64 s around a GPS time; None if it has none.

    Raises:
        GlitchError: as ``read_strain``.
        StrainError: if the file does not state when it starts.
    """
    gps_time = request.gps_time or Decimal(0)
    with open_strain(path, request) as (source, rate):
        if source.gps_start is None:
            raise StrainError(f"{request.shown_name} does not say when it starts.")
        event = round((gps_time - source.gps_start) * Decimal(rate))
        half = round(LONGEST_SEGMENT_S // 2 * rate)
        first, last = max(0, event - half), min(source.n_samples, event + half)
        if last <= first:
            return None
        check_size(last - first)
        return Strain(
            values=source.read(first, last),
            sample_rate_hz=rate,
            gps_start=source.gps_start + Decimal(first) / Decimal(rate),
            ifo=detector_of(source, request),
            channel=source.channel or request.channel,
        )


def _check_alike(first: Strain, piece: Strain, file: StrainFile) -> None:
    for what, usual, actual in (
        ("a sample rate", first.sample_rate_hz, piece.sample_rate_hz),
        ("a detector", first.ifo, piece.ifo),
        ("a channel", first.channel, piece.channel),
    ):
        if usual != actual:
            raise StrainError(
                f"{file.name!r} has {what} of {actual}, but the file before it of {usual}, so they "
                "are not joined. Send one file that holds the whole stretch."
            )
