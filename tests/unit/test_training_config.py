"""Configurations: all shipped ones load, and impossible values are refused by name."""

from pathlib import Path

import pytest
import yaml

import training
from training.core.config import ConfigError, config_to_mapping
from training.views.config import TrainingConfig, VarianceConfig, config_from_mapping, load_config

CONFIGS = sorted((Path(training.__file__).parent / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_configuration_loads(path: Path) -> None:
    config = load_config(path)
    assert config.name == path.stem
    assert config_from_mapping(config_to_mapping(config)) == config


def test_there_are_configurations() -> None:
    assert {path.stem for path in CONFIGS} >= {"smoke", "shipped"}


def test_a_saved_configuration_reads_back_equal(tmp_path: Path) -> None:
    config = config_from_mapping(
        {
            "name": "a",
            "architecture": {"latent": 4},
            "data": {"real_images": None, "simulated": "x"},
        }
    )
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config_to_mapping(config)))
    assert load_config(path) == config


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"nmae": "a"}, "nmae is unknown"),
        ({"name": "a", "optimiser": {"stepz": 1}}, r"optimiser\.stepz is unknown"),
        ({"name": "a", "optimiser": {"steps": "many"}}, r"optimiser\.steps must be a whole number"),
        ({"name": "a", "optimiser": {"steps": True}}, r"optimiser\.steps must be a whole number"),
        ({"name": "a", "optimiser": {"steps": 0}}, r"optimiser\.steps must be positive"),
        ({"name": "a", "optimiser": {"warmup_steps": -1}}, r"optimiser\.warmup_steps"),
        ({"name": "a", "optimiser": {"final_factor": 2}}, r"optimiser\.final_factor"),
        ({"name": "a", "optimiser": [1]}, "optimiser must be a mapping of names"),
        ({"name": "a", "objective": {"kind": "gan"}}, r"objective\.kind is 'gan'"),
        (
            {"name": "a", "objective": {"kind": "beta_vae", "parameters": {"gamma": 1}}},
            r"objective\.parameters\.gamma is unknown",
        ),
        (
            {"name": "a", "objective": {"kind": "beta_vae", "parameters": {"beta": -1}}},
            "beta must not be negative",
        ),
        ({"name": "a", "data": {"real_images": None}}, "both null"),
        ({"name": "a", "data": {"real_share": 1.5}}, r"data\.real_share"),
        ({"name": "a", "data": {"n_folds": 1}}, r"data\.n_folds"),
        ({"name": "a", "data": {"validation_fold": 3}}, r"data\.validation_fold"),
        ({"name": "a", "augmentation": {"single_view_share": 2}}, "single_view_share"),
        (
            {"name": "a", "augmentation": {"single_view_share": 0.7, "some_views_share": 0.7}},
            "together",
        ),
        ({"name": "a", "augmentation": {"owed_views": 0}}, "owed_views"),
        ({"name": "a", "augmentation": {"shift_pixels": 99}}, "shift_pixels"),
        ({"name": "a", "augmentation": {"energy_scale": 0.5}}, "energy_scale"),
        ({"name": "a", "log": {"log_every": 0}}, r"log\.log_every"),
        ({"name": "a", "optimiser": {"learning_rate": float("inf")}}, "must be finite"),
        ({"name": "a", "optimiser": {"learning_rate": "1e-3"}}, "write 1.0e-3"),
        ({"name": "a", "architecture": {"n_time": 100}}, "architecture: .* divides"),
        ({"name": "a", "architecture": {"channels": [8, "x"]}}, r"architecture\.channels"),
        ({"name": "a", "variance": {"kind": "best"}}, r"variance\.kind is 'best'"),
        ({"name": "a", "variance": {"kind": "fixed", "fixed": 0}}, r"variance\.fixed must lie"),
        ({"name": "a", "variance": {"memory": 1}}, r"variance\.memory must lie"),
        ({"name": "a/b"}, "name must be letters"),
        ({"name": "a", "seed": -1}, "seed"),
        ({}, "lacks .*name"),
        ([], "must be a mapping"),
    ],
)
def test_impossible_values_of_a_configuration_are_named(content: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_from_mapping(content)


def test_missing_and_malformed_files_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no configuration file"):
        load_config(tmp_path / "none.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: [")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_config(bad)
    bad.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_config(bad)
    with pytest.raises(ConfigError, match="is a folder"):
        load_config(tmp_path)


def test_defaults_are_valid() -> None:
    assert TrainingConfig("a").objective.build().weights(0) == {"beta": 10.0}


def test_all_that_is_wrong_is_named_at_once() -> None:
    content = {"name": "a", "seed": "x", "optimiser": {"stepz": 1}, "log": {"log_every": 1.5}}
    with pytest.raises(ConfigError) as caught:
        config_from_mapping(content)
    for part in ("seed must be a whole number", "optimiser.stepz is unknown", "log.log_every must"):
        assert part in str(caught.value)


def test_a_running_mean_averages_evenly_at_first_and_forgets_later() -> None:
    closed = VarianceConfig("closed_form", memory=0.9)
    assert [closed.share(step) for step in (0, 1, 3, 9, 500)] == pytest.approx(
        [1, 0.5, 0.25, 0.1, 0.1]
    )
    assert VarianceConfig("learnt").share(0) == VarianceConfig("fixed").share(0) == 0
