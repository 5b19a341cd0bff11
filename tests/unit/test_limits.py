"""What an assignment's servers may use, and how amounts are said."""

import dataclasses

import pytest

from ipylti import limits, models
from ipylti.errors import SpawnerError
from ipylti.servers.spawner import Limits
from ipylti.settings import Image, Settings
from ipylti.views import amounts
from tests.unit.test_settings import loaded

GIB = 1 << 30


def settings(**changes: object) -> Settings:
    """Settings with two images, of which the second has limits of its own."""
    images = (Image("a", "A", GIB, 1.0, 512, 2 * GIB), Image("r", "R", 4 * GIB, 2.0, 64, None))
    made = dataclasses.replace(loaded(), image="a", images=images, max_memory=8 * GIB, max_cpus=3.0)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chosen", "changes", "expected"),
    [
        ({}, {}, Limits(GIB, 1.0, 512)),
        ({"image": "r"}, {}, Limits(4 * GIB, 2.0, 64)),
        ({"image": "r", "memory": GIB}, {}, Limits(GIB, 2.0, 64)),
        ({"memory": 2 * GIB, "cpus": 3.0}, {}, Limits(2 * GIB, 3.0, 512)),
        # The administrator lowered what teachers may give, or took the choice back.
        ({"memory": 16 * GIB, "cpus": 9.0}, {}, Limits(8 * GIB, 3.0, 512)),
        ({"memory": 2 * GIB, "cpus": 2.0}, {"max_memory": None, "max_cpus": None}, Limits(GIB, 1.0, 512)),
    ],
)
def test_the_images_limits_count_or_what_a_teacher_chose_within_bounds(
    chosen: dict[str, object], changes: dict[str, object], expected: Limits
) -> None:
    assert limits.limits_of(settings(**changes), models.Assignment(**chosen)) == expected


def test_an_image_that_is_not_listed_is_refused_and_copied_with_the_usual_one() -> None:
    gone = models.Assignment(image="gone")
    with pytest.raises(SpawnerError) as caught:
        limits.limits_of(settings(), gone)
    assert caught.value.code == "server.image_refused"
    assert limits.copier_image(settings(), gone) == "a"
    assert limits.copier_image(settings(), models.Assignment(image="r")) == "r"


def test_choices_double_up_to_the_most() -> None:
    assert limits.cpus_choices(settings()) == [0.5, 1.0, 2.0, 3.0]
    told = [amounts.size(each) for each in limits.memory_choices(settings(max_memory=3 * GIB))]
    assert told == ["256 MiB", "512 MiB", "1 GiB", "2 GiB", "3 GiB"]
    assert limits.memory_choices(settings(max_memory=None)) == []


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (GIB, "1 GiB"),
        (GIB + GIB // 2, "1.5 GiB"),
        (300 << 20, "300 MiB"),
        (5 << 50, "5120 TiB"),
    ],
)
def test_bytes_are_said_in_words(count: int, words: str) -> None:
    assert amounts.size(count) == words


def test_cores_are_said_in_words() -> None:
    assert [amounts.cores(each) for each in (0.5, 1.0, 2.0)] == ["0.5 cores", "1 core", "2 cores"]
