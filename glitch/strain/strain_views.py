"""Views made from strain, with metadata. No torch, which code that stores them does not need."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from glitch.views import Views


@dataclass(frozen=True, eq=False)
class StrainViews:
    """Views made from strain, and the properties of their loudest tile in the search window.

    Attributes:
        views: the picture in each window that the strain allows.
        snr: signal-to-noise ratio of the loudest tile, as Omicron defines it: ``sqrt(2 E - 2)``
            with E the tile's energy over the row's mean noise energy (taken as median / ln 2, exact
            for Gaussian noise). gwpy's ``sqrt(2 E_median)`` is 1.2 times as large.
        peak_frequency_hz: its central frequency in Hz.
        duration_s: its duration in s, one over its bandwidth.
        bandwidth_hz: its bandwidth in Hz.
        q: quality factor of its plane, which is the plane drawn.
        peak_gps_time: GPS time of its centre, within the search window.
        centre_gps_time: GPS time in the middle of the views: the loudest tile's, or the given one.
    """

    views: Views
    snr: float
    peak_frequency_hz: float
    duration_s: float
    bandwidth_hz: float
    q: float
    peak_gps_time: Decimal
    centre_gps_time: Decimal
