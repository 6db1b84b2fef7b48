"""The common style and saving of all figures in training.

Colours are those of Okabe and Ito (2008), which people with any colour vision can distinguish.
Figures have a light background, for papers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#767676"

STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "legend.frameon": False,
    "text.usetex": False,  # gwpy may change it on import
    "figure.constrained_layout.use": True,
    "savefig.dpi": 130,
}


@contextmanager
def figure(
    path: Path, rows: int = 1, columns: int = 1, *, width: float = 6.4, height: float = 3.6
) -> Iterator[tuple[Any, Any]]:
    """Create a figure and its axes (always a two-dimensional array), and save it as PNG at the end.

    Args:
        path: of the PNG file.
        rows: of axes.
        columns: of axes.
        width: of the figure, inches.
        height: of the figure, inches.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        # Not a pyplot figure: there is no global state, and threads may draw.
        drawn = Figure(figsize=(width, height))
        yield drawn, drawn.subplots(rows, columns, squeeze=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.savefig(path, metadata={"Software": None})
