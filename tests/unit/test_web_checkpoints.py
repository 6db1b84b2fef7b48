"""The manifest on the page of checkpoints."""

from datetime import UTC, datetime

from app.models.checkpoints import CheckpointUsage
from app.models.pages.checkpoints import CheckpointCard
from app.models.records import CheckpointRecord


def test_a_list_of_measurements_is_shown_one_by_one() -> None:
    probe = {"sample": "all views", "probe": "linear", "accuracy": 0.9375, "n_glitches": 320}
    metrics = {
        "probes": [probe | {"accuracy_spread": 0.1}] * 6,
        "agreement": {"distance": 0.26449},
        "hz": 2048.0,
    }
    now = datetime(2026, 5, 4, tzinfo=UTC)
    record = CheckpointRecord(
        id=1,
        name="v1",
        digest="ab" * 32,
        preprocessing_digest="cd" * 32,
        latent_size=32,
        manifest={"metrics": metrics, "training": {"config": {"is_painted": True}}},
        is_active=True,
        created_at=now,
    )
    card = CheckpointCard(record, CheckpointUsage(), total=3)
    assert list(card.tables) == ["Metrics"]
    assert "is_painted" in card.manifest
    assert [(row.name, row.value) for row in card.tables["Metrics"]] == [
        *[("All views, linear probe", "accuracy 0.938")] * 4,
        ("Probes, 2 more", "in the manifest"),
        ("Agreement, distance", "0.264"),
        ("(Hz)", "2,048"),
    ]
