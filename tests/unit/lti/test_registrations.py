"""Registrations and quirks: lti.md line 2 and "Quirks are data"."""

import json
from typing import Any

import pytest

from ipylti.errors import SettingsError
from ipylti.lti.registrations import PRESETS, Quirks, preset
from tests.unit.lti.platforms import FakePlatform


@pytest.mark.parametrize("quirks", [Quirks(), *PRESETS.values(), Quirks("Submitted", True, True)])
def test_quirks_survive_being_stored(quirks: Quirks) -> None:
    assert Quirks.from_dict(json.loads(json.dumps(quirks.to_dict()))) == quirks


def test_what_is_not_stored_is_as_the_specifications_say() -> None:
    assert Quirks.from_dict({}) == Quirks()
    assert Quirks().submit_progress == "Completed"


@pytest.mark.parametrize(
    "stored",
    [
        {"unknown": 1},
        {"submit_progress": "Done"},
        {"submit_progress": None},
        {"no_ags_limit": "yes"},
        {"canvas_submission": 1},
        {"frame_origins": "https://lms.example"},
        {"frame_origins": ["lms.example"]},
        {"frame_origins": ["https://lms.example/path"]},
        {"frame_origins": ["https://lms.example; script-src *"]},
        {"frame_origins": ["https://lms.example;script-src"]},
        {"frame_origins": ["*"]},
        {"frame_origins": ["https://*"]},
        {"frame_origins": ["https://a.*.example"]},
        {"frame_origins": [5]},
    ],
)
def test_bad_quirks_are_named(stored: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as error:
        Quirks.from_dict(stored)
    assert next(iter(stored)) in error.value.detail


def test_presets_by_product_family() -> None:
    assert preset("moodle").no_ags_limit
    assert preset("Canvas").canvas_submission
    assert preset("canvas", submit_progress="Submitted").submit_progress == "Submitted"
    assert preset("never heard of") == preset(None) == Quirks()


def test_the_origins_that_frame_the_tool() -> None:
    platform = FakePlatform(
        issuer="https://issuer.example:443",
        auth_url="https://sso.example:8443/auth?x=1",
        quirks=Quirks(frame_origins=("https://*.school.example", "https://issuer.example")),
    )
    assert platform.registration.frame_origins == (
        "https://issuer.example",
        "https://sso.example:8443",
        "https://*.school.example",
    )


def test_an_issuer_that_is_no_url_frames_nothing() -> None:
    assert FakePlatform(issuer="urn:lms").registration.frame_origins == ("https://lms.example",)
