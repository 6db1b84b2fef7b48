"""Read strain from files and convert it to views.

``views_from_strain`` needs torch and is imported on first use, because code that only reads files
does not need it.
"""

from typing import TYPE_CHECKING, Any

from glitch.strain.joining import StrainFile, read_joined_strain
from glitch.strain.reading import StrainSpan, is_strain_file, read_strain, strain_span
from glitch.strain.series import Strain
from glitch.strain.strain_views import StrainViews

if TYPE_CHECKING:
    from glitch.strain.transform import views_from_strain

__all__ = [
    "Strain",
    "StrainFile",
    "StrainSpan",
    "StrainViews",
    "is_strain_file",
    "read_joined_strain",
    "read_strain",
    "strain_span",
    "views_from_strain",
]


def __getattr__(name: str) -> Any:
    if name != "views_from_strain":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from glitch.strain.transform import views_from_strain

    return views_from_strain
