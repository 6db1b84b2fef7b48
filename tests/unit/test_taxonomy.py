import pytest

from glitch.errors import GlitchError
from glitch.simulate import SIMULATED_CLASSES
from glitch.taxonomy import CLASS_NAMES, CLASSES, glitch_class


def test_names_are_unique_and_sorted_as_gravity_spy_sorts_them() -> None:
    assert len(set(CLASS_NAMES)) == len(CLASS_NAMES) == 27
    assert list(CLASS_NAMES) == sorted(CLASS_NAMES)


def test_every_description_is_one_sentence() -> None:
    for known in CLASSES:
        assert known.description.endswith(".")
        assert known.description.count(". ") == 0
        assert 30 < len(known.description) < 160


def test_simulated_classes_are_those_that_have_a_recipe() -> None:
    assert {known.name for known in CLASSES if known.is_simulated} == set(SIMULATED_CLASSES)


def test_the_classes_of_the_o1_and_o3_releases() -> None:
    assert sum("O1" in known.observing_runs for known in CLASSES) == 22
    assert sum("O3b" in known.observing_runs for known in CLASSES) == 23


def test_a_class_is_found_by_its_exact_name() -> None:
    assert glitch_class("Koi_Fish").name == "Koi_Fish"


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(GlitchError, match=r"no class 'Koi'.*Blip, .*Whistle"):
        glitch_class("Koi")


@pytest.mark.real_data
def test_every_label_of_the_public_pictures_is_known(shared_data) -> None:
    folders = [path.name for path in (shared_data / "gravityspy_images").iterdir() if path.is_dir()]
    assert folders
    assert set(folders) <= set(CLASS_NAMES)
