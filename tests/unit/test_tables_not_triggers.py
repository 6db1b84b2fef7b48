"""Tables with times not of triggers: posterior samples, strain in JSON, votes of volunteers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from app.batches.table_files import read_table
from glitch.errors import FormatError
from glitch.files.foreign import refuse_foreign
from glitch.tables import Facts, refuse_unread

N = 50
DRAWN = np.random.default_rng(0)
POSTERIOR = {
    **{name: DRAWN.normal(30, 1, N) for name in ("mass_1", "mass_2", "ra", "dec", "psi")},
    "geocent_time": 1126259462.4 + DRAWN.normal(0, 0.01, N),
    "log_likelihood": DRAWN.normal(300, 1, N),
}
WITHOUT_LIKELIHOOD = {name: one for name, one in POSTERIOR.items() if "log" not in name}


def _text(path: Path, columns: dict[str, np.ndarray], between: str = ",") -> None:
    rows = zip(*(one.tolist() for one in columns.values()), strict=True)
    lines = [columns, *(map(repr, row) for row in rows)]
    path.write_text("\n".join(between.join(line) for line in lines))


def _json(path: Path, columns: dict[str, np.ndarray]) -> None:
    content = {name: one.tolist() for name, one in columns.items()}
    held = {"content": content, "__dataframe__": True}
    path.write_text(json.dumps({"label": "GW150914", "posterior": held, "priors": {}}))


def _groups(path: Path, columns: dict[str, np.ndarray]) -> None:
    with h5py.File(path, "w") as file:
        for name, one in columns.items():
            file[f"posterior/{name}"] = one


def _compound(path: Path, columns: dict[str, np.ndarray]) -> None:
    rows = np.zeros(N, dtype=[(name, "f8") for name in columns])
    for name, one in columns.items():
        rows[name] = one
    with h5py.File(path, "w") as file:
        file["C01:IMRPhenomXPHM/posterior_samples"] = rows
        file["C01:SEOBNRv4PHM/posterior_samples"] = rows


@pytest.mark.parametrize(
    ("write", "columns"),
    [
        (_text, POSTERIOR),
        (_text, WITHOUT_LIKELIHOOD),
        (_json, POSTERIOR),
        (_groups, POSTERIOR),
        (_compound, POSTERIOR),
    ],
    ids=["csv", "csv without likelihood", "bilby json", "bilby hdf5", "pesummary"],
)
def test_posterior_samples_are_no_triggers(tmp_path: Path, write, columns) -> None:  # type: ignore[no-untyped-def]
    """Posterior samples are refused with their name, and none becomes a trigger."""
    path = tmp_path / "result"
    write(path, columns)
    with pytest.raises(FormatError, match="result holds posterior samples"):
        list(read_table(path, path.name))


def test_posterior_samples_too_long_to_be_read_are_named(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"label": "x", "log_evidence": 1, "rest": "cut"})[:-3])
    with pytest.raises(FormatError, match="is JSON of posterior samples"):
        refuse_foreign(path, path.name)


def test_injections_far_apart_are_rows(tmp_path: Path) -> None:
    path = tmp_path / "injections.csv"
    _text(path, WITHOUT_LIKELIHOOD | {"geocent_time": 1126259462.5 + 100 * np.arange(N)})
    assert len(list(read_table(path, path.name))) == N


def _samples(n_samples: int) -> list[float]:
    return DRAWN.normal(size=n_samples).tolist()


@pytest.mark.parametrize(
    "document",
    [
        {"strain": _samples(1000), "t0": 1126259446, "dt": 1 / 1024},
        {"H1": {"t0": 1126259446, "data": _samples(1000)}},
        {"gps_start": 1126259446, "duration": 2, "ifo": "H1", "values": _samples(1000)},
        {"time": (1126259446 + np.arange(1000) / 1024).tolist(), "strain": _samples(1000)},
        [{"time": 1126259446 + at / 1024, "strain": one} for at, one in enumerate(_samples(300))],
    ],
    ids=["one", "of a detector", "with a duration", "columns", "records"],
)
def test_strain_as_json_is_no_table(tmp_path: Path, document: object) -> None:
    """Strain in JSON is refused; neither its start nor a sample becomes a trigger."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document))
    with pytest.raises(FormatError, match=r"np\.savez"):
        refuse_unread(path, path.name)


def _export(path: Path, **cells: object) -> None:
    texts = [one if isinstance(one, str) else json.dumps(one) for one in cells.values()]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([cells, texts])


@pytest.mark.parametrize("mark", ["", "#", "//"])
@pytest.mark.parametrize("is_nested", [False, True])
def test_subjects_of_zooniverse_are_what_their_metadata_say(
    tmp_path: Path, mark: str, is_nested: bool
) -> None:
    path = tmp_path / "gravity-spy-subjects.csv"
    cols = {"subject_id": "zFpKGCZPwf", "event_time": 1126259462.4, "ifo": "L1", "ml_label": "Blip"}
    metadata = {mark + name: one for name, one in cols.items()}
    if is_nested:
        _export(path, subject_ids="123", subject_data={"123": metadata})
    else:
        _export(path, subject_id="123", metadata=metadata, locations={"0": "https://x/a.png"})
    (row,) = read_table(path, path.name)
    assert row.facts == Facts(
        gps_time="1126259462.4", ifo="L1", gravityspy_id="zFpKGCZPwf", label="Blip"
    )


@pytest.mark.parametrize("marks", ["#", "!", "", "//"])
def test_a_manifest_for_zooniverse_is_read(tmp_path: Path, marks: str) -> None:
    """As Gravity Spy uploads its subjects: four pictures, and hidden columns."""
    path = tmp_path / "manifest.csv"
    names = ["Filename1", "Filename2", "Filename3", "Filename4", "ml_top_label"]
    header = [f"{marks}{name}" for name in (*names, "ml_top_confidence")]
    pictures = [f"H1_zFpKGCZPwf_spectrogram_{window}.png" for window in (0.5, 1.0, 2.0, 4.0)]
    rows = [[*header, "subject_id", "date"], [*pictures, "Blip", "0.93", "zFpKGCZPwf", "20170108"]]
    path.write_text("".join(",".join(row) + "\n" for row in rows))
    [row] = read_table(path, path.name)
    urls = {f"url{number}": name for number, name in enumerate(pictures, 1)}
    assert row.facts == Facts(gravityspy_id="zFpKGCZPwf", label="Blip", confidence=0.93, **urls)


def test_contradictory_metadata_of_a_subject_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "gravity-spy-subjects.csv"
    _export(path, subject_id="123", metadata='{"event_time": 1126259462.4, "event_time": 1}')
    (row,) = read_table(path, path.name)
    assert "metadata: An object in it has the key 'event_time' twice" in row.reason


@pytest.mark.parametrize("column", ["jd", "mjd", "time_mjd", "tai", "Julian date"])
def test_a_column_of_another_clock_is_named(tmp_path: Path, column: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{column},snr\n2457279.9,12\n")
    with pytest.raises(FormatError, match=f"the time system of the column '{column}' is not"):
        refuse_unread(path, path.name)


def test_classifications_of_zooniverse_are_named(tmp_path: Path) -> None:
    path = tmp_path / "gravity-spy-classifications.csv"
    answers = [{"task": "T1", "value": [{"choice": "BLIP"}]}]
    _export(path, classification_id="1", subject_ids="123", annotations=answers, subject_data={})
    with pytest.raises(FormatError, match="a row per answer of a volunteer"):
        list(read_table(path, path.name))


@pytest.mark.parametrize("between", [" ", "\t", ",", ", "])
def test_lines_of_two_times_are_asked_about(tmp_path: Path, between: str) -> None:
    """They were taken for strain of a single sample."""
    path = tmp_path / "H1-DATA.txt"
    path.write_text(f"# a b\n1126259446{between}1126259450\n1126259455{between}1126259460.5\n")
    with pytest.raises(FormatError, match=r"H1-DATA\.txt has only starts and ends: send"):
        refuse_unread(path, path.name)
    path.write_text(f"1126259446{between}1e-21\n1126259447{between}2e-21\n")
    refuse_unread(path, path.name)
