"""The published archives from which references are loaded, with their metadata."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from app.core.errors import InvalidRequestError, NotReadyError, check_choice
from app.core.fetching import UNREACHED, as_json, fetch
from glitch.detectors import parse_detector
from glitch.observing_runs import OBSERVING_RUNS

ZENODO = "https://zenodo.org"
_PATIENCE_S = 30.0
_MAX_BYTES = 10_000_000


@dataclass(frozen=True)
class PublishedFile:
    """A file of an archive, with its address, size and checksum if known."""

    name: str
    url: str
    size: int | None = None  # bytes
    checksum: str | None = None  # "md5:…" or "sha256:…"


@dataclass(frozen=True)
class Archive:
    """A published archive."""

    name: str  # as given to the command
    title: str
    record: int  # its number at Zenodo
    source: str  # of the labels loaded from it
    licence: str
    size: str  # description of its size, for users
    has_pictures: bool  # with one table; otherwise one table per detector and observing run

    def selected_files(self, ifos: Iterable[str], runs: Iterable[str]) -> list[str]:
        """Names of its files for these detectors and runs; a picture archive's table comes last."""
        if self.has_pictures:
            return ["trainingsetv1d1.tar.gz", "trainingset_v1d1_metadata.csv"]
        names = [f"{ifo}_{run}.csv" for ifo in ifos for run in runs]
        if not names:
            raise InvalidRequestError(
                f"{self.name} is published as one table per detector and observing run: give --ifo "
                "and --run, for example --ifo L1 --run O3a."
            )
        return names


ARCHIVES = (
    Archive(
        name="training-set",
        title="Gravity Spy's training set, labelled by people (Zenodo 1476551)",
        record=1476551,
        source="Gravity Spy training set",
        licence="CC-BY 4.0",
        size="5.5 GB of pictures in four windows, 5.4 MB of metadata",
        has_pictures=True,
    ),
    Archive(
        name="classifications",
        title="Gravity Spy's machine classifications O1 to O3b (Zenodo 5649212)",
        record=5649212,
        source="Gravity Spy classifications",
        licence="CC-BY 4.0",
        size="tables without pictures; these are fetched one by one",
        has_pictures=False,
    ),
)


def archive_named(name: str) -> Archive:
    """The archive with this name; InvalidRequestError if there is none."""
    for archive in ARCHIVES:
        if archive.name == name:
            return archive
    names = ", ".join(one.name for one in ARCHIVES)
    raise InvalidRequestError(f"There is no archive {name[:40]!r}; known: {names}.")


def check_selection(ifos: Iterable[str], runs: Iterable[str]) -> None:
    """Raise ``InvalidRequestError`` for unknown detectors or observing runs."""
    for ifo in ifos:
        if parse_detector(ifo) != ifo:
            raise InvalidRequestError(f"There is no detector {ifo[:20]!r}: give H1, L1 or V1.")
    for run in runs:
        check_choice(run, OBSERVING_RUNS, "observing run")


def published_files(archive: Archive, zenodo: str = ZENODO) -> dict[str, PublishedFile]:
    """Files of an archive by name, as Zenodo lists them now; NotReadyError if it cannot be read."""
    url = f"{zenodo.rstrip('/')}/api/records/{archive.record}"
    try:
        response = fetch(url, max_bytes=_MAX_BYTES, patience_s=_PATIENCE_S, follow_redirects=True)
        record = as_json(response.raise_for_status())
        return {one.name: one for one in map(_file, record["files"])}
    except (*UNREACHED, ValueError, KeyError, TypeError) as error:
        raise NotReadyError(
            f"{urlsplit(zenodo).netloc or zenodo} does not list the files of {archive.name} "
            f"({type(error).__name__}): check that this machine can reach it, or download the "
            "archive elsewhere and give it with --file."
        ) from error


def _file(entry: dict[str, Any]) -> PublishedFile:
    return PublishedFile(
        str(entry["key"]), str(entry["links"]["self"]), int(entry["size"]), str(entry["checksum"])
    )
