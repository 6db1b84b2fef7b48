"""Metadata of views made from strain. Without torch, which code that stores them does not need."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from glitch.views import Views


@dataclass(frozen=True, eq=False)
class StrainViews:
    """Views made from strain, and what their loudest tile within the search window says.

    Attributes:
        views: the picture in each window that the strain could give.
        snr: signal-to-noise ratio of the loudest tile, as Omicron defines it:
            ``sqrt(2 E - 2)`` with E the tile's energy over the row's mean noise energy (taken as
            median / ln 2, exact for Gaussian noise). gwpy's ``sqrt(2 E_median)`` is 1.2 times it.
        peak_frequency_hz: its central frequency in Hz.
        duration_s: its duration in s, one over its bandwidth.
        bandwidth_hz: its bandwidth in Hz.
        q: quality factor of its plane, which is the plane drawn.
        peak_gps_time: GPS time of its centre, within the search window.
        centre_gps_time: GPS time in the middle of the views: the loudest tile's, or the given.
    """

    views: Views
    snr: float
    peak_frequency_hz: float
    duration_s: float
    bandwidth_hz: float
    q: float
    peak_gps_time: Decimal
    centre_gps_time: Decimal
