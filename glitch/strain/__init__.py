"""Strain: reading it from files and turning it into views."""

from glitch.strain.reading import STRAIN_SUFFIXES, is_strain_file, read_strain
from glitch.strain.series import Strain
from glitch.strain.transform import StrainViews, views_from_strain

__all__ = [
    "STRAIN_SUFFIXES",
    "Strain",
    "StrainViews",
    "is_strain_file",
    "read_strain",
    "views_from_strain",
]
