"""Public detector data of every type, against gwpy pixel by pixel."""

from decimal import Decimal
from pathlib import Path

import h5py
import numpy as np
import pytest
from gwpy_oracle import gwpy_views, share_within

from glitch.errors import GlitchError
from glitch.strain import Strain, read_strain, views_from_strain
from glitch.strain.missing import is_missing

pytestmark = pytest.mark.real_data

GW150914 = Decimal("1126259462.4")
FILES = [
    ("H-H1_LOSC_4_V2-1126259446-32.hdf5", GW150914, "H1", 116),
    ("L-L1_LOSC_4_V2-1126259446-32.hdf5", GW150914, "L1", 116),
    ("H-H1_LOSC_16_V1-1126259446-32.hdf5", GW150914, "H1", 128),
    ("L1_GW170817_4K_32s.hdf5", Decimal("1187008881.38"), "L1", 116),
    ("H-H1_GWOSC_O3b_4KHZ_R1-1266281937-128.gwf", Decimal("1266281982.66"), "H1", 116),
    ("o3a_noise_500s_2048Hz.hdf", Decimal("1238205532"), None, 100),
]


def _read(path: Path, gps_time: Decimal) -> Strain:
    return read_strain(path, file_name=path.name, gps_time=gps_time)


@pytest.mark.parametrize(("name", "gps_time", "ifo", "n_rows"), FILES)
def test_real_files_agree_with_gwpy(
    shared_data: Path, name: str, gps_time: Decimal, ifo: str | None, n_rows: int
) -> None:
    strain = _read(shared_data / "strain" / name, gps_time)
    assert strain.ifo == ifo
    made = views_from_strain([strain], [gps_time])[0]
    oracle = gwpy_views(strain, gps_time, made.centre_gps_time)
    assert made.q == pytest.approx(oracle.q)
    assert made.views.observed.sum(axis=1).tolist() == [n_rows] * 4
    assert oracle.n_observed_rows == n_rows
    for view in range(4):
        ours, theirs = made.views.values[view, :n_rows], oracle.values[view, :n_rows]
        assert share_within(ours, theirs) >= 0.99


@pytest.mark.parametrize("after_s", [2, 20, 25])
def test_one_damaged_sample_hardly_changes_the_snr(shared_data: Path, after_s: int) -> None:
    strain = _read(shared_data / "strain" / FILES[0][0], GW150914)
    assert not is_missing(strain.values).any()
    whole = views_from_strain([strain], [GW150914])[0]
    values = strain.values.copy()
    values[after_s * 4096] = 1e-10
    damaged = Strain(values, strain.sample_rate_hz, strain.gps_start, ifo=strain.ifo)
    assert views_from_strain([damaged], [GW150914])[0].snr == pytest.approx(whole.snr, rel=0.02)


def _labelled(shared_data: Path) -> list[tuple[str, Strain]]:
    with h5py.File(shared_data / "strain" / "o3_labelled_glitch_segments.hdf5") as file:
        labels = [label.decode() for label in file["label"]]
        rows = np.asarray(file["strain"], dtype=np.float64)
    return [
        (label, Strain(row, 4096.0, Decimal(0))) for label, row in zip(labels, rows, strict=True)
    ]


@pytest.mark.parametrize("member", [0, 4, 8, 12, 16])  # one of each class
def test_labelled_segments_agree_with_gwpy(shared_data: Path, member: int) -> None:
    _, strain = _labelled(shared_data)[member]
    made = views_from_strain([strain], [Decimal(7)])[0]
    oracle = gwpy_views(strain, Decimal(7), made.centre_gps_time)
    assert made.q == pytest.approx(oracle.q)
    assert share_within(made.views.values[:, :116], oracle.values[:, :116]) >= 0.99


def test_labelled_segments_in_one_batch(shared_data: Path) -> None:
    labelled = _labelled(shared_data)
    together = views_from_strain([strain for _, strain in labelled], [Decimal(7)] * 40)
    assert len({member.q for member in together}) > 1
    for (_, strain), member in zip(labelled[::9], together[::9], strict=True):
        alone = views_from_strain([strain], [Decimal(7)])[0]
        np.testing.assert_allclose(member.views.values, alone.views.values, atol=1e-4)
        assert member.q == alone.q
    tomtes = [m for (label, _), m in zip(labelled, together, strict=True) if label == "Tomte"]
    whistles = [m for (label, _), m in zip(labelled, together, strict=True) if label == "Whistle"]
    assert np.median([m.peak_frequency_hz for m in tomtes]) < 100
    assert np.median([m.peak_frequency_hz for m in whistles]) > 150


def test_gw150914_looks_like_itself(shared_data: Path) -> None:
    name, gps_time, _, _ = FILES[0]
    strain = _read(shared_data / "strain" / name, gps_time)
    made = views_from_strain([strain], [gps_time])[0]
    assert 80 < made.peak_frequency_hz < 200
    assert abs(made.peak_gps_time - gps_time) < Decimal("0.1")
    assert 10 < made.snr < 30


def test_hdf5_and_gwf_of_the_same_stretch_agree(shared_data: Path) -> None:
    stem = shared_data / "strain" / "H-H1_LOSC_4_V2-1126259446-32"
    hdf5, gwf = (_read(stem.with_suffix(kind), GW150914) for kind in (".hdf5", ".gwf"))
    np.testing.assert_array_equal(hdf5.values, gwf.values)
    assert (hdf5.gps_start, hdf5.ifo) == (gwf.gps_start, gwf.ifo)


def test_16_khz_and_4_khz_show_the_same_glitch(shared_data: Path) -> None:
    views = []
    for name, gps_time, _, _ in (FILES[0], FILES[2]):
        strain = _read(shared_data / "strain" / name, gps_time)
        views.append(views_from_strain([strain], [gps_time])[0].views.values[1, :100])
    # Rows depend on the sample rate, so textures differ; the glitch must not.
    assert np.corrcoef(views[0].ravel(), views[1].ravel())[0, 1] > 0.9


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("name", [FILES[0][0], "H-H1_LOSC_4_V2-1126259446-32.gwf"])
def test_truncated_files_are_refused(
    shared_data: Path, tmp_path: Path, name: str, keep: float
) -> None:
    content = (shared_data / "strain" / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(GlitchError, match="truncated or damaged"):
        _read(path, GW150914)


@pytest.mark.parametrize("seed", [2, 5])
def test_a_damaged_gwf_does_not_end_the_service(
    shared_data: Path, tmp_path: Path, seed: int
) -> None:
    """A file with random bytes in its frame headers is refused or read, and never crashes."""
    name = "H-H1_LOSC_4_V2-1126259446-32.gwf"
    rng = np.random.default_rng(seed)
    content = bytearray((shared_data / "strain" / name).read_bytes())
    for position in rng.integers(100, 3000, size=40):
        content[position] = int(rng.integers(256))
    path = tmp_path / name
    path.write_bytes(bytes(content))
    try:
        strain = _read(path, GW150914)
    except GlitchError:
        return
    assert strain.values.size <= 64 * 16384
