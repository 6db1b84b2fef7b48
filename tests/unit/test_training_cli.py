"""From a folder of pictures to a usable checkpoint, through the commands themselves."""

import csv
import json
import resource
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from glitch.checkpoint import load_checkpoint
from glitch.encoder import Encoder
from glitch.images import render_view
from glitch.simulate import SIMULATED_CLASSES, UNNAMED
from glitch.views import Preprocessing, views_from_images
from training.cli import app
from training.data import split
from training.data.config import DataConfig
from training.data.pack import PackError, read_pack
from training.data.real_images import read_real_images
from training.data.split import load_data
from training.views.export import git_revision


def picture(label: str, seed: int) -> np.ndarray:
    """A bright band, high or low in frequency, over noise; float32 (freq, time) in [0, 1]."""
    rng = np.random.default_rng(seed)
    view = (0.1 * rng.random((128, 128))).astype(np.float32)
    row = 90 if label == "Whistle" else 20
    view[row : row + 15, 50:78] = 0.9
    return view


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rows = []
    for index in range(12):
        label = ("Blip", "Whistle")[index % 2]
        for duration_s in ("0.5", "4.0") if index % 3 else ("4.0",):
            name = f"H1_g{index}_spectrogram_{duration_s}.png"
            (folder / name).write_bytes(render_view(picture(label, index)))
            rows.append((name, label, f"g{index}", duration_s, f"group{index}"))
    (folder / "nowhere.png").write_bytes(render_view(picture("Blip", 99)))
    rows.append(("nowhere.png", "Blip", "g99", "", "group99"))
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("path", "label", "gravityspy_id", "duration_s", "group"), *rows]
        )
    return folder


def configure(folder: Path, pictures: Path | str, **changes: object) -> Path:
    content = {
        "name": "tiny",
        "architecture": {"channels": [4, 4], "painter_channels": [4, 4], "hidden": 8, "latent": 2},
        "optimiser": {"steps": 4, "batch_size": 4, "warmup_steps": 1},
        "data": {"real_images": str(pictures), "anchor_glitches": 0},
        "log": {"log_every": 1, "evaluate_every": 4, "save_every": 2},
        **changes,
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def invoke(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    return result.exit_code, f"{result.output}{result.exception!r}"


def test_pictures_become_one_glitch_for_each_id(pictures: Path) -> None:
    seen: list[int] = []
    pack = read_real_images(pictures, on_progress=lambda done, _total: seen.append(done))
    assert len(pack) == 12  # without the picture of unknown window
    assert seen[-1] == 12 + 8 + 1
    present = pack.observed.any(axis=2)
    assert not present[:, 1:3].any()
    assert sorted(present.sum(axis=1).tolist()) == [1] * 4 + [2] * 8
    at = pack.groups.index("group1")
    np.testing.assert_allclose(pack.values[at, 0] / 255, picture("Whistle", 1), atol=0.02)


def test_train_evaluate_export_and_serve(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, destination = tmp_path / "run", tmp_path / "checkpoint"
    code, output = invoke("train", configure(tmp_path, pictures), "--folder", run)
    assert (code, "Done" in output) == (0, True), output
    table = tmp_path / "table.md"
    code, output = invoke("evaluate", run, "--output", table, "--n-seeds", 1)
    assert code == 0, output
    assert "| held-out | all views |" in table.read_text()
    reads: list[object] = []
    read_real = split.read_real
    monkeypatch.setattr(split, "read_real", lambda *a, **k: reads.append(a) or read_real(*a, **k))
    code, output = invoke("export", run, destination, "--name", "tiny", "--n-seeds", 1)
    assert code == 0, output
    assert len(reads) == 1  # takes minutes on thousands of pictures
    checkpoint = load_checkpoint(destination)
    manifest = checkpoint.manifest
    assert manifest.name == "tiny"
    assert manifest.training["real_train"]["glitches"] == 8
    assert manifest.training["validation"]["glitches"] == 4
    assert manifest.training["config"]["name"] == "tiny"
    assert manifest.schedule["kind"] == "beta_annealed"
    assert json.loads((destination / "manifest.json").read_text())["metrics"]["probes"]
    views = views_from_images({4.0: picture("Blip", 5)})
    assert Encoder(checkpoint).encode([views])[0].mean.shape == (2,)


def test_unusable_paths_are_reported_in_a_sentence(pictures: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.touch()
    for command in (
        ("train", configure(tmp_path, pictures), "--folder", taken),
        ("simulate-pack", taken, "--per-class", 1),
        ("reproduce", "lemma", "--folder", taken),
        ("table1-power", tmp_path),
    ):
        code, output = invoke(*command)
        assert code == 1, output
        assert f"error: {command[-1] if len(command) == 2 else taken}" in output
        assert " cannot be used (" in output
    code, output = invoke("table1-power", taken)
    assert (code, "(it is empty)" in output) == (1, True), output


def test_runs_of_one_split_share_a_rate_distortion_plane(pictures: Path, tmp_path: Path) -> None:
    runs = [tmp_path / name for name in ("one", "four", "other")]
    changes: list[dict[str, object]] = [
        {"objective": {"kind": "beta_vae", "parameters": {"beta": 1}}},
        {"objective": {"kind": "bottleneck", "parameters": {"capacity": 4}}},
        {"data": {"real_images": str(pictures), "anchor_glitches": 0, "validation_fold": 1}},
    ]
    for run, change in zip(runs, changes, strict=True):
        assert invoke("train", configure(tmp_path, pictures, **change), "--folder", run)[0] == 0
    out = tmp_path / "out"
    code, output = invoke("rate-distortion", *runs[:2], "--out", out)
    assert code == 0, output
    with (out / "curve.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["objective"], row["weight"], float(row["value"])) for row in rows] == [
        ("beta_vae", "beta", 1), ("bottleneck", "capacity", 4),
    ]  # fmt: skip
    assert (out / "curve.png").stat().st_size > 5_000
    third = tmp_path / "third"
    change = {"data": {"real_images": str(pictures), "anchor_glitches": 0, "validation_fold": 2}}
    assert invoke("train", configure(tmp_path, pictures, **change), "--folder", third)[0] == 0
    code, output = invoke("rate-distortion", runs[0], runs[2], third, "--out", out)
    assert (code, "one of these runs was trained on each glitch" in output) == (1, True), output


def test_a_simulated_pack_holds_every_class_evenly(tmp_path: Path) -> None:
    code, output = invoke("simulate-pack", tmp_path / "a", "--per-class", 1, "--seed", 4)
    assert code == 0, output
    pack = read_pack(tmp_path / "a", Preprocessing())
    assert pack.labels == SIMULATED_CLASSES + (UNNAMED,) * 8
    assert pack.twins is not None
    assert pack.parameters is not None
    assert pack.observed.all()
    assert len({one.tobytes() for one in pack.values}) == len(pack)
    data = load_data(DataConfig(real_images=None, simulated=str(tmp_path / "a")))
    assert data.real_train is None
    assert data.simulated is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "none.yaml"), "There is no configuration file"),
        (("evaluate", "nowhere"), "neither a training run"),
        (("export", "nowhere", "out"), "neither a training run"),
        (("rate-distortion", "nowhere", "--out", "out"), "neither a training run"),
        (("reproduce", "fig1", "--steps", "0"), "steps must be at least 1, but is 0"),
        (("reproduce", "fig1", "--seeds", "0"), "seeds must be at least 1, but is 0"),
    ],
)
def test_errors_are_sentences_and_exit_codes(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, output = invoke(*arguments)
    assert code == 1
    assert message in " ".join(output.split())
    assert "Traceback" not in output


def test_a_missing_or_broken_picture_folder_is_named(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(PackError, match="There is no"):
        read_real_images(tmp_path)
    (tmp_path / "manifest.csv").write_text("path,label\n")
    with pytest.raises(PackError, match="lacks the columns"):
        read_real_images(tmp_path)
    header = "path,label,gravityspy_id,duration_s,group\n"
    (tmp_path / "manifest.csv").write_text(header + "x.png,Blip,a,,g\n")
    with pytest.raises(PackError, match="no picture with a known window"):
        read_real_images(tmp_path)
    (tmp_path / "manifest.csv").write_text(header + "x.png,Blip,a,0.5,g\n")
    with pytest.raises(PackError, match=r"x\.png .* cannot be used"):
        read_real_images(tmp_path)


def test_the_revision_is_a_commit_or_nothing() -> None:
    revision = git_revision()
    assert revision is None or len(revision) == 40


def test_a_full_disk_is_reported(pictures: Path, tmp_path: Path) -> None:
    """A full disk is reported; writing to a mapped file would end the process by a bus error."""
    run = tmp_path / "run"
    assert invoke("train", configure(tmp_path, pictures), "--folder", run)[0] == 0
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    # limits the size of a file, like a quota
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, most[1]))
    try:
        answers = [
            invoke("export", run, tmp_path / "checkpoint", "--n-seeds", 1),
            invoke("simulate-pack", tmp_path / "pack", "--per-class", 1),
        ]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    for code, output in answers:
        assert (code, "error: There is no space left" in output) == (1, True), output
