"""The tutorial runs as for a user: every cell in a kernel, against the live service."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from api_fixtures import Service
from doing_jobs import doing_jobs
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs/tutorial.ipynb"
EVENT = ROOT.parent / "shared/data/strain/H-H1_LOSC_4_V2-1126259446-32.hdf5"


@pytest.mark.timeout(600)
def test_the_tutorial_runs_and_draws(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLITCH_URL", service.url)
    monkeypatch.setenv("GLITCH_TOKEN", service.tokens["reviewer"])
    if EVENT.exists():
        (tmp_path / EVENT.name).symlink_to(EVENT)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    with doing_jobs(service):
        NotebookClient(notebook, timeout=500, resources=place).execute()
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", [])]
    printed = "".join(one.get("text", "") for one in outputs)
    assert "40 stored, 0 known already, 0 failed" in printed
    assert ("GW150914" in printed) == EVENT.exists()
    assert sum("image/png" in one.get("data", {}) for one in outputs) >= 4


def test_the_tutorial_is_kept_as_it_ran() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [one for cell in code for one in cell.outputs]
    assert not [one for one in outputs if one.output_type == "error"]
    assert sum("image/png" in one.get("data", {}) for one in outputs) >= 4
