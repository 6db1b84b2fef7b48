import json

import numpy as np
import pytest

from glitch.simulate.population import POPULATION_CLASSES, SNR_RANGE, draw_blip


def drawn(label: str, ifo: str, count: int = 400) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(11)
    blips = [draw_blip(label, ifo, rng) for _ in range(count)]
    return {name: np.array([getattr(b, name) for b in blips]) for name in ("f0_hz", "gbw", "snr")}


@pytest.mark.parametrize("label", POPULATION_CLASSES)
@pytest.mark.parametrize("ifo", ["H1", "L1", "V1"])
def test_parameters_lie_where_the_model_was_fitted(label: str, ifo: str) -> None:
    values = drawn(label, ifo, 100)
    assert values["f0_hz"].min() >= 10
    assert values["f0_hz"].max() <= 600
    assert values["gbw"].min() >= 0.25
    assert values["gbw"].max() <= 8
    assert values["snr"].min() >= SNR_RANGE[0]
    assert values["snr"].max() <= SNR_RANGE[1]


def test_classes_differ_as_the_measured_ones_do() -> None:
    blip, tomte, koi = (drawn(label, "L1") for label in ("Blip", "Tomte", "Koi_Fish"))
    assert np.median(blip["f0_hz"]) > 3 * np.median(tomte["f0_hz"])
    assert np.median(tomte["gbw"]) > 2 * np.median(blip["gbw"])
    assert np.median(koi["snr"]) > 4 * np.median(blip["snr"])


@pytest.mark.real_data
@pytest.mark.parametrize("label", POPULATION_CLASSES)
@pytest.mark.parametrize("ifo", ["H1", "L1"])
def test_quartiles_follow_the_measured_population(label: str, ifo: str, shared_data) -> None:
    raw = json.loads((shared_data / "triggers/antiglitch_parameters_O3.json").read_text())
    columns = {key: np.array(list(value.values())) for key, value in raw.items()}
    rows = (columns["ml_label"] == label) & (columns["ifo"] == ifo)
    rows &= (columns["snr"] >= SNR_RANGE[0]) & (columns["snr"] <= SNR_RANGE[1])
    ours = drawn(label, ifo, 700)
    for name, key in (("f0_hz", "f0"), ("gbw", "gbw"), ("snr", "snr")):
        spread = np.log(columns[key][rows]).std()
        for share in (25, 50, 75):
            measured = np.log(np.percentile(columns[key][rows], share))
            assert np.log(np.percentile(ours[name], share)) == pytest.approx(
                measured, abs=0.35 * spread
            )
