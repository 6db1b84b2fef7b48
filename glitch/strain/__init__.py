"""Strain: reading it from files and turning it into views."""

from glitch.strain.joining import StrainFile, read_joined_strain
from glitch.strain.reading import (
    STRAIN_SUFFIXES,
    StrainSpan,
    is_strain_file,
    read_strain,
    strain_span,
)
from glitch.strain.series import Strain
from glitch.strain.transform import StrainViews, views_from_strain

__all__ = [
    "STRAIN_SUFFIXES",
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
