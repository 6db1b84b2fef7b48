"""Strain: reading it from files and turning it into views."""

from glitch.strain.series import Strain
from glitch.strain.transform import StrainViews, views_from_strain

__all__ = ["Strain", "StrainViews", "views_from_strain"]
