"""Canvas' configuration: lti.md 37."""

import json
from typing import Any

import pytest

from ipylti.lti import claims
from ipylti.lti.canvas import canvas_configuration
from ipylti.lti.dynamic_registration import PLACEMENTS as REGISTERED


def placements(made: dict[str, Any]) -> list[dict[str, Any]]:
    [extension] = made["extensions"]
    found: list[dict[str, Any]] = extension["settings"]["placements"]
    return found


def test_the_configuration() -> None:
    made = canvas_configuration("https://tool.example:8443", "Notebooks", "JupyterLab for everybody.")
    assert made["title"] == "Notebooks"
    assert made["description"] == "JupyterLab for everybody."
    assert made["oidc_initiation_url"] == "https://tool.example:8443/login"
    assert made["target_link_uri"] == "https://tool.example:8443/launch"
    assert made["public_jwk_url"] == "https://tool.example:8443/.well-known/jwks.json"
    assert "https://purl.imsglobal.org/spec/lti-ags/scope/score" in made["scopes"]
    assert "https://purl.imsglobal.org/spec/lti-ags/scope/lineitem" in made["scopes"]
    [extension] = made["extensions"]
    assert extension["domain"] == "tool.example:8443"
    assert extension["platform"] == "canvas.instructure.com"
    assert extension["tool_id"]
    assert extension["privacy_level"] in ("anonymous", "name_only", "email_only", "public")
    placements = {each["placement"]: each["message_type"] for each in extension["settings"]["placements"]}
    assert placements == {
        "assignment_selection": "LtiDeepLinkingRequest",
        "link_selection": "LtiDeepLinkingRequest",
        "course_navigation": "LtiResourceLinkRequest",
    }


def test_the_custom_fields_ask_for_dates_and_histories() -> None:
    """lti.md 19 and 21."""
    fields = canvas_configuration("https://tool.example", "t", "d")["custom_fields"]
    assert set(fields.values()) == {
        "$ResourceLink.available.startDateTime",
        "$ResourceLink.available.endDateTime",
        "$ResourceLink.submission.endDateTime",
        "$Canvas.assignment.dueAt.iso8601",
        "$Context.id.history",
        "$ResourceLink.id.history",
    }


@pytest.mark.parametrize("placement", ["assignment_selection", "link_selection"])
def test_what_is_put_into_a_course_is_chosen_by_deep_linking(placement: str) -> None:
    """lti.md 25 and 37: by a message of its own, to the one redirect URI."""
    (found,) = [
        each
        for each in placements(canvas_configuration("https://tool.example", "Notebooks", "d"))
        if each["placement"] == placement
    ]
    assert found == {
        "placement": placement,
        "message_type": "LtiDeepLinkingRequest",
        "target_link_uri": "https://tool.example/launch",
        "text": "Notebooks",
    }


def test_it_says_the_same_as_a_registration() -> None:
    """lti.md 35 and 37."""
    made = canvas_configuration("https://tool.example", "t", "d")
    told = {(each["message_type"], each["placement"]) for each in placements(made)}
    assert told == {(kind, place) for kind, places in REGISTERED["canvas"].items() for place in places}
    assert made["scopes"] == list(claims.SCOPES)
    assert made["custom_fields"] == dict(claims.CUSTOM_FIELDS)


def test_an_assignments_id_is_not_asked_for() -> None:
    """lti.md 21 and 37: it stands on the link that Deep Linking made; a field of the tool would hide it."""
    fields = canvas_configuration("https://tool.example", "t", "d")["custom_fields"]
    assert claims.CUSTOM_ASSIGNMENT not in fields
    assert all(name == name.lower() for name in fields)


def test_it_is_json_and_nobody_changes_it_for_others() -> None:
    made = canvas_configuration("https://tool.example", "Ünit <b>", "d")
    assert json.loads(json.dumps(made)) == made
    made["custom_fields"].clear()
    made["scopes"].clear()
    again = canvas_configuration("https://tool.example", "t", "d")
    assert again["custom_fields"] and again["scopes"]
