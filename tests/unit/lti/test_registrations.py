"""Registrations and quirks: lti.md 2 and "Quirks are data"."""

import json
from typing import Any

import pytest

from ipylti.errors import SettingsError
from ipylti.http import is_web_url
from ipylti.lti.registrations import FAMILIES, Family, Quirks, family_of, preset
from tests.unit.lti.platforms import FakePlatform


@pytest.mark.parametrize("quirks", [Quirks(), *map(preset, FAMILIES), Quirks("Submitted", True, True)])
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


def test_quirks_are_changed_as_people_type_them() -> None:
    typed = {
        "submit_progress": "Submitted",
        "no_ags_limit": "True",
        "canvas_submission": "false",
        "frame_origins": "https://a.example  https://*.b.example",
    }
    assert preset("canvas").changed(typed) == Quirks(
        "Submitted", True, False, ("https://a.example", "https://*.b.example")
    )
    assert preset("canvas").changed({"no_ags_limit": "true"}).canvas_submission
    assert preset("canvas").changed({"frame_origins": ""}).frame_origins == ()
    assert preset("canvas").changed({}) == preset("canvas")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("no_ags_limit", "yes"),
        ("canvas_submission", ""),
        ("submit_progress", "Done"),
        ("frame_origins", "lms.example"),
        ("frame_origins", "https://a.example,https://b.example"),
        ("no_such_quirk", "true"),
    ],
)
def test_what_is_typed_wrongly_is_named(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as error:
        Quirks().changed({name: text})
    assert name in error.value.detail


def test_an_unknown_quirk_names_the_known_ones() -> None:
    with pytest.raises(SettingsError) as error:
        Quirks().changed({"ags_limit": "true"})
    assert "no_ags_limit" in error.value.detail


@pytest.mark.parametrize(
    ("name", "code"),
    [
        *((code, code) for code in FAMILIES),
        ("BlackboardLearn", "blackboard"),
        ("desire2learn", "d2l"),
        ("Brightspace", "d2l"),
        ("Canvas", "canvas"),
    ],
)
def test_a_family_is_known_by_its_code_and_by_what_the_product_calls_itself(name: str, code: str) -> None:
    family = family_of(name)
    assert family is not None
    assert family.code == code


@pytest.mark.parametrize("name", [None, "", "campus", "can", "canvas "])
def test_another_name_is_no_family(name: str | None) -> None:
    assert family_of(name) is None


def test_no_name_is_two_families() -> None:
    names = [name for family in FAMILIES.values() for name in (family.code, *family.aliases)]
    assert len(names) == len(set(names))
    assert all(name == name.lower() for name in names)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_familys_addresses_are_whole(family: Family) -> None:
    endpoints = family.endpoints("https://lms.example/moodle/", "client-1")
    assert set(endpoints) <= {"auth_url", "token_url", "jwks_url"}
    for url in (*endpoints.values(), family.issuer, family.token_audience):
        assert url is None or (is_web_url(url) and url.startswith("https:") and "{" not in url)


def test_what_customers_share_and_what_is_the_schools_own() -> None:
    """lti.md 2: endpoints belong to issuer and client id; lti.md 26: an audience of its own."""
    blackboard = FAMILIES["blackboard"].endpoints("https://blackboard.com", "4711")
    assert blackboard["jwks_url"].endswith("/applications/4711/jwks.json")
    brightspace = FAMILIES["d2l"]
    assert brightspace.endpoints("https://school.example", "c")["auth_url"] == (
        "https://school.example/d2l/lti/authenticate"
    )
    assert brightspace.token_audience not in (None, brightspace.token_url)
    moodle = FAMILIES["moodle"].endpoints("https://school.example/moodle", "c")
    assert moodle["token_url"] == "https://school.example/moodle/mod/lti/token.php"
    assert set(FAMILIES["openedx"].endpoints("https://school.example", "c")) == {"auth_url"}


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
