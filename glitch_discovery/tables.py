"""A table of the catalogue as an object of pandas, astropy or gwpy."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import astropy.table
    import pandas as pd
    from gwpy.table import GravitySpyTable


FORMAT_OF = {".csv": "csv", ".h5": "hdf5", ".hdf5": "hdf5", ".xml": "ligolw"}  # by a file's ending


class Table:
    """Glitches as CSV with Gravity Spy's column names; see ``GET /exports`` for the columns."""

    def __init__(self, csv: bytes) -> None:
        """Keep the CSV as the service wrote it."""
        self.csv = csv

    def __len__(self) -> int:
        """How many glitches it holds."""
        return max(0, len(self.csv.splitlines()) - 1)

    def __repr__(self) -> str:
        """What a notebook shows of it."""
        return f"<Table of {len(self):,} glitches>"

    def write(self, path: str | Path) -> None:
        """Keep it as a CSV file."""
        Path(path).write_bytes(self.csv)

    def to_pandas(self) -> pd.DataFrame:
        """As a DataFrame; ``event_time`` as float64, exact to 0.1 microseconds.

        Raises:
            ImportError: where pandas is not installed.
        """
        with _of_extra():
            import pandas as pd

        return pd.read_csv(io.BytesIO(self.csv))

    def to_astropy(self) -> astropy.table.Table:
        """As an astropy table; unknown values are masked.

        Raises:
            ImportError: where astropy is not installed.
        """
        with _of_extra():
            import astropy.table

        return astropy.table.Table.read(self._text(), format="ascii.csv")

    def to_gwpy(self) -> GravitySpyTable:
        """As gwpy's table of Gravity Spy, which plots and filters.

        Raises:
            ImportError: where gwpy is not installed.
        """
        with _of_extra():
            from gwpy.table import GravitySpyTable

        return GravitySpyTable(self.to_astropy())

    def _text(self) -> Any:
        return self.csv.decode()


@contextmanager
def _of_extra() -> Iterator[None]:
    """Name what to install where a library is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{error.name} is not installed: install it, or the client's extra `tables` "
            "(pip install './glitch_discovery[tables]').",
            name=error.name,
        ) from None
