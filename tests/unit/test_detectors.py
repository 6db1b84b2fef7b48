"""The detector that a channel, a text or a file name refers to."""

from __future__ import annotations

import pytest

from glitch.detectors import (
    detector_of_channel,
    detector_of_file_name,
    detector_of_text,
    parse_detector,
)


@pytest.mark.parametrize(
    ("name", "ifo"),
    [
        ("H-H1_LOSC_4_V2-1126259446-32.hdf5", "H1"),
        ("H-H2_LOSC_4_V1-1126259446-32.hdf5", "H2"),
        ("L-L1_LOSC_16_V1-1126259446-32.hdf5", "L1"),
        ("V-HoftOnline-1371312000-2000.gwf", "V1"),
        ("V-V1Online-1126259446-32.gwf", "V1"),
        ("K-K1_C20-1371312000-32.gwf", "K1"),
        ("H-R-1371312000-64.gwf", "H1"),
        ("HL-BOTH-1371312000-64.gwf", None),
        ("X-UNKNOWN-1371312000-64.gwf", None),
        ("L1_GW170817_4K_32s.hdf5", "L1"),
        ("folder\\h1_strain.txt", "H1"),
        ("strain_V1.hdf5", "V1"),
        ("GWOSC_4KHZ_V1.hdf5", None),
        ("I-I1_TEST-1371312000-64.gwf", "I1"),
        ("E-E2_STRAIN-1371312000-64.gwf", "E2"),
        ("E1-STRAIN-1371312000-64.gwf", "E1"),
        ("C-C1_STRAIN-1371312000-64.gwf", "C1"),
        ("E-STRAIN-1371312000-64.gwf", None),
        ("run_E1.csv", None),
        ("notes.txt", None),
        ("triggers_v1.csv", None),
        ("triggers_V1.csv", "V1"),
        ("v1.csv", "V1"),
        ("l1-final.v1.csv", "L1"),
        ("H1-L1.csv", None),
        ("triggers_H1_vs_L1.csv", None),
        ("H1_data_V1.csv", "H1"),
        ("O3b_L1_blips_V1.tar.gz", "L1"),
        ("H1_triggers_V2.csv", "H1"),
        ("H1_V2.csv", "H1"),
        ("H1_SUS-ETMX_L2.csv", "H1"),
        ("V2.csv", None),
        ("H1_V1.csv", None),
        ("H1-V1.csv", None),
        ("H1_vs_V1.csv", None),
        ("H1_L1_data_V1.csv", None),
        ("H1_data_V1_cut.csv", None),
        ("h1/H1_omicron_h1.csv", "H1"),
        ("LHO_triggers.csv", "H1"),
        ("virgo-glitches_v2.csv", "V1"),
        ("LHO_H2.csv", "H2"),
        ("LHO_vs_LLO.csv", None),
        ("O4/L1/omicron.csv", "L1"),
        ("H1\\2020\\omicron.csv", "H1"),
        ("v1/omicron.csv", None),
        ("H1/H1_vs_L1.csv", None),
        ("E1/omicron.csv", None),
    ],
)
def test_file_names(name: str, ifo: str | None) -> None:
    assert detector_of_file_name(name) == ifo


def test_channels_and_texts() -> None:
    assert detector_of_channel("h2:LSC-STRAIN") == "H2"
    assert detector_of_channel("LSC-STRAIN") is None
    assert detector_of_text(None, "L1/1126259446") == "L1"
    assert detector_of_text("V1:Hrec of H1") == "V1"
    assert detector_of_text("CH1 H12 H3") is None
    assert [parse_detector(text) for text in ("h1", " I1 ", "X1", None)] == ["H1", "I1", None, None]
