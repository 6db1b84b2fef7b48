"""The manifests of `deploy/` follow the schemas of Kubernetes and the names of this project."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from app.core.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
SCHEMAS = "1.31"
OUTSIDE = ("AWS_", "OMP_", "DATABASE_URL", "REDIS_URL")


def _manifests() -> list[dict[str, Any]]:
    listed = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    return [one for name in listed for one in yaml.safe_load_all((KUBERNETES / name).read_text())]


MANIFESTS = _manifests()


def _pods() -> list[dict[str, Any]]:
    return [
        one["spec"]["template"]["spec"] for one in MANIFESTS if "template" in one.get("spec", {})
    ]


@pytest.mark.parametrize(
    "manifest", MANIFESTS, ids=lambda one: f"{one['kind']} {one['metadata']['name']}"
)
def test_each_manifest_follows_the_schema(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, SCHEMAS, strict=True)


def test_a_misspelled_field_would_be_found() -> None:
    broken = {**MANIFESTS[0], "metadatas": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, SCHEMAS, strict=True)


def test_every_file_is_listed() -> None:
    listed = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    files = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(listed) == files


def test_selectors_name_pods_that_are_there() -> None:
    labels = [
        one["spec"]["template"]["metadata"]["labels"]
        for one in MANIFESTS
        if "template" in one.get("spec", {})
    ]
    for one in MANIFESTS:
        selector = one.get("spec", {}).get("selector")
        if selector is not None:
            assert selector.get("matchLabels", selector) in labels, one["metadata"]


def test_no_pod_has_rights_that_it_does_not_need() -> None:
    pods = _pods()
    assert len(pods) == 4
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert all("hostPath" not in volume for volume in pod["volumes"])


def test_settings_are_those_of_the_service() -> None:
    [settings] = [one["data"] for one in MANIFESTS if one["kind"] == "ConfigMap"]
    known = {f"GLITCH_{name.upper()}" for name in Settings.model_fields}
    assert {name for name in settings if not name.startswith(OUTSIDE)} <= known
    Settings(**{name.removeprefix("GLITCH_").lower(): value for name, value in settings.items()})


def test_the_autoscaler_asks_what_the_database_has() -> None:
    from app.jobs.tables import Job, JobChunk

    scaled = list(yaml.safe_load_all((KUBERNETES / "autoscale/worker-scale.yaml").read_text()))[1]
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]
    assert {Job.__tablename__, JobChunk.__tablename__} <= set(re.findall(r"\w+", query))
    names = {one["metadata"]["name"] for one in MANIFESTS if one["kind"] == "Deployment"}
    assert scaled["spec"]["scaleTargetRef"]["name"] in names


def test_htcondor_runs_what_lies_beside_it() -> None:
    lines = (DEPLOY / "htcondor/workers.sub").read_text().splitlines()
    pairs = [line.partition("=") for line in lines if "=" in line and not line.startswith("#")]
    submit = {name.strip(): value.strip() for name, _, value in pairs}
    script = DEPLOY / "htcondor" / submit["executable"]
    assert script.stat().st_mode & 0o100
    assert "worker --until-idle" in script.read_text()
    assert submit["accounting_group"].startswith("ligo.")
    assert submit["container_image"] == "glitch-discovery.sif"
    assert lines[-1] == "queue 1"
