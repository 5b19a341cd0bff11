"""Canvas' configuration: lti.md line 37."""

from ipylti.lti.canvas import canvas_configuration


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
    """Lines 19 and 21."""
    fields = canvas_configuration("https://tool.example", "t", "d")["custom_fields"]
    assert set(fields.values()) == {
        "$ResourceLink.available.startDateTime",
        "$ResourceLink.available.endDateTime",
        "$ResourceLink.submission.endDateTime",
        "$Canvas.assignment.dueAt.iso8601",
        "$Context.id.history",
        "$ResourceLink.id.history",
    }
