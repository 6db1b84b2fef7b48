"""A region of the map: the points within a polygon that pass the filters of the page.

It is computed from the columns that the client has, so that the labelled points are those that were
drawn, even if the catalogue changed since.
"""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
import zstandard
from pydantic import Field, ValidationError

from app.core.errors import InvalidRequestError
from app.core.model import Model
from app.map.columns import CATEGORIES, files_of_version, unpack
from glitch.projection import inside

MAX_CORNERS = 2000


class Region(Model):
    """A region of the map."""

    version: str = Field(max_length=64, description="`version` of the points' header.")
    polygon: list[tuple[float, float]] = Field(
        min_length=3,
        max_length=MAX_CORNERS,
        description="Its corners in the map's own coordinates, as the columns x and y have them.",
    )
    leave_out: dict[str, list[str | None]] = Field(
        default_factory=dict,
        description="For class, ifo, origin, run or cluster: the names (for clusters, the ids) to "
        "leave out; null means glitches without one.",
    )
    ranges: dict[str, tuple[float | None, float | None]] = Field(
        default_factory=dict,
        description="For gps_time, snr, peak_frequency or p_value: minimum and maximum.",
    )


@dataclass(frozen=True, eq=False)
class SelectedGlitches:
    """The points of a region."""

    indices: np.ndarray  # uint32, ascending, into the columns of the version
    ids: list[UUID]  # of the glitches, in the same order


def read_region(text: str) -> Region:
    """Parse a region from the JSON text in a form."""
    try:
        return Region.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(one) for one in first["loc"])
        raise InvalidRequestError(
            f"This is not a region of the map ({where}: {first['msg']}): select the points again."
        ) from error


def resolve(data_dir: Path, region: Region) -> SelectedGlitches:
    """Find the points of a region."""
    files = files_of_version(data_dir, region.version)
    header, columns = unpack(zstandard.ZstdDecompressor().decompress(files.points.read_bytes()))
    mask = np.ones(header["n_points"], dtype=np.bool_)
    for name, left_out in region.leave_out.items():
        entries = header.get(CATEGORIES.get(name, ""))
        if entries is None:
            raise InvalidRequestError(
                f"A region can leave out {', '.join(CATEGORIES)}, not {name[:40]}."
            )
        names = set(left_out)
        is_left_out = [(one.get("id") or one.get("name")) in names for one in entries]
        mask &= ~np.array(is_left_out, dtype=np.bool_)[columns[name]]
    for name, (low, high) in region.ranges.items():
        if name not in ("gps_time", "snr", "peak_frequency", "p_value"):
            raise InvalidRequestError(f"Points cannot be filtered by a range of {name[:40]!r}.")
        column = columns[name]  # NaN (unknown) passes no comparison
        if low is not None:
            mask &= column >= low
        if high is not None:
            mask &= column <= high
    places = np.stack([columns["x"], columns["y"]], axis=1)
    indices = np.flatnonzero(mask & inside(places, np.array(region.polygon)))
    content = files.ids.read_bytes()
    ids = [UUID(bytes=content[16 * one : 16 * one + 16]) for one in indices.tolist()]
    return SelectedGlitches(indices.astype(np.uint32), ids)
