"""Names of detectors, and the detector of a channel or file name."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from glitch.files.frame_names import parse_frame_name

# The planned detectors, Cosmic Explorer and the Einstein Telescope, come last. Their names often
# mean other things ("run E1"), so they are never recognised in free text.
DETECTORS = ("G1", "H1", "H2", "I1", "K1", "L1", "V1", "C1", "E1", "E2", "E3")

_PREFIX = re.compile(r"\s*([A-Z][0-9]):", re.ASCII)
# A detector not preceded or followed by a letter or digit: H1, h1, H1_, -L1-, but not CH1 or H12.
_TOKEN = re.compile(r"(?<![A-Za-z0-9])([GHIKLV][12])(?![A-Za-z0-9])", re.ASCII | re.IGNORECASE)
# GWOSC names end in the release, where V1 is not Virgo: LOSC_4_V1, GWOSC_4KHZ_V2, R1.
_RELEASE = re.compile(r"(?<=[0-9A-Z])_[VR][0-9]+(?=[-.]|\Z)", re.ASCII)
# triggers_v1.csv: version 1 of the table; Virgo is written V1.
_VERSION = re.compile(r"(?<=[0-9A-Za-z])[ _.-]v[0-9]+(?![0-9A-Za-z])", re.ASCII)
# H1_data_V1.csv: also a version, unless the word before it joins two detectors (H1_vs_V1).
_VERSION_OF = re.compile(r"(?<=[0-9A-Za-z])_V1(?=\.[A-Za-z]|\Z)", re.ASCII)
_PAIRING = frozenset({"vs", "versus", "and", "or", "with", "plus", "to", "coinc", "coincident"})
_IN_FRAME_NAME = re.compile(rf"(?<![A-Za-z0-9])({'|'.join(DETECTORS)})(?![A-Za-z0-9])", re.ASCII)
_SITES = {ifo[0]: ifo for ifo in DETECTORS if ifo.endswith("1") and ifo not in ("C1", "E1")}
# Names in files of detectors that are not supported here.
_OTHER = re.compile(r"[A-Z]\d|ET\b.*|EINSTEIN.*|CE\d*|COSMIC.*|LISA|NEMO|DECIGO", re.ASCII)
_SITE = re.compile("|".join([*DETECTORS, *_SITES]), re.ASCII)
_NAMES = _SITES | {
    **{"HANFORD": "H1", "LHO": "H1", "LIVINGSTON": "L1", "LLO": "L1", "VIRGO": "V1"},
    **{"KAGRA": "K1", "GEO": "G1", "GEO600": "G1", "INDIA": "I1", "LIO": "I1"},
}
_SITE_NAMES = re.compile(
    r"(?<![A-Z0-9])(HANFORD|LHO|LIVINGSTON|LLO|VIRGO|KAGRA|GEO600)(?![A-Z0-9])", re.ASCII
)


def parse_detector(text: str | None) -> str | None:
    """Return the detector with this name, in any case; None if there is none.

    "h1" is H1, and so are its site's letter and name: H, LHO, Hanford. Blanks, "-" and "_" are
    ignored; a text with anything else is not a name.
    """
    name = re.sub(r"[ _-]", "", (text or "").strip().upper().removeprefix("LIGO"))
    return name if name in DETECTORS else _NAMES.get(name)


def detector_stated(text: str | None) -> str | None:
    """Return the detector given in a file's metadata: "H1", "LHO_4k", "LIGO Livingston"."""
    words = re.findall("[A-Za-z0-9]+", text or "")
    named = {ifo for word in words if len(word) > 1 and (ifo := parse_detector(word))}
    return parse_detector(text) or (named.pop() if len(named) == 1 else None)


def is_other_detector(text: str | None) -> bool:
    """Whether a name, or the prefix of a channel, denotes a detector that is not supported here."""
    name = (text or "").partition(":")[0].strip().upper()
    return _OTHER.fullmatch(name) is not None and parse_detector(name) is None


def parse_detectors(text: str) -> tuple[str, ...]:
    """Split a list such as "H1,L1", "H1 L1" or "H1L1V1" into detectors; empty if it is none."""
    parts = re.findall(r"[GHIKLV][12]|C1|E[123]|[^\s,;+&/|'\"()\[\]{}-]", text.upper()[:100])
    names = tuple(dict.fromkeys(parts))
    return names if all(one in DETECTORS for one in names) else ()


def detector_of_channel(channel: str | None) -> str | None:
    """Return the detector of a channel name such as "H1:GDS-CALIB_STRAIN"; None if it has none."""
    match = _PREFIX.match((channel or "").upper())
    return parse_detector(match[1]) if match else None


def detector_of_text(*texts: str | None) -> str | None:
    """Return the first detector in texts such as "H1:GDS-CALIB", "strain of L1", "H1/1126259446".

    The prefix of a channel takes precedence over the rest of a text.
    """
    for text in texts:
        whole = (text or "").strip().upper()
        detector = whole if whole in DETECTORS else detector_of_channel(text)
        if detector:
            return detector
        for token in _TOKEN.finditer((text or "").replace("_", " ")):
            if name := parse_detector(token[1]):
                return name
    return None


def detector_of_file_name(name: str) -> str | None:
    """Return the detector in a file's name; None if there is none or more than one.

    Names after LIGO-T050017 begin with the site: ``V-HoftOnline-…`` is of V1. If the description
    names a detector of that site, it takes precedence: ``H-H2_LOSC_4_V1-…`` is of H2. In other
    names the only detector counts, ignoring release and version numbers: ``H1_data_V1.csv`` is of
    H1; ``H1_V1.csv`` and ``H1_vs_L1.csv`` are ambiguous. A name without any has the detector of its
    site (``LHO_triggers.csv``), or of the innermost folder that is called like one
    (``L1/omicron.csv``; ``v1`` is a version).
    """
    base = PurePosixPath(name.replace("\\", "/")).name
    frame = parse_frame_name(base)
    if frame is None:
        text = _RELEASE.sub("", base) if "LOSC" in base or "GWOSC" in base else base
        text = _VERSION.sub("", text).replace("_", " ")
        named = {ifo for token in _TOKEN.finditer(text) if (ifo := parse_detector(token[1]))}
        if len(named) == 2 and "V1" in named and (version := _VERSION_OF.search(base)):
            word = re.split(r"[ _.-]", base[: version.start()])[-1].lower()
            if word not in _PAIRING and parse_detector(word) is None:
                named.discard("V1")
        named = named or {_NAMES[site] for site in _SITE_NAMES.findall(text.upper())}
        if named:
            return named.pop() if len(named) == 1 else None
        folders = reversed(PurePosixPath(name.replace("\\", "/")).parent.parts)
        found = (parse_detector(one) for one in folders if _TOKEN.fullmatch(one) and one != "v1")
        return next(filter(None, found), None)
    site = frame.site
    if site in DETECTORS:
        return site
    if len(site) > 1:
        return None  # HL-…: of several detectors
    for token in _IN_FRAME_NAME.finditer(frame.description.upper().replace("_", " ")):
        if token[1][0] == site:
            return token[1]
    return _SITES.get(site)


def detectors_of_file_name(name: str) -> tuple[str, ...]:
    """Return all detectors in a file's name: H1 and L1 for ``HL-HL_GWOSC_4KHZ-…``."""
    frame = parse_frame_name(PurePosixPath(name.replace("\\", "/")).name)
    if frame is None or len(frame.site) == 1 or frame.site in DETECTORS:
        found = detector_of_file_name(name)
        return () if found is None else (found,)
    parts = _SITE.findall(frame.site)
    if "".join(parts) != frame.site:
        return ()
    return tuple(dict.fromkeys(one if one in DETECTORS else _SITES[one] for one in parts))
