"""The configuration that a Canvas administrator installs the tool from.

Canvas' own format (its documentation: "Manually Configuring LTI Advantage Tools"); the standard's way is
Dynamic Registration.
"""

from typing import Any
from urllib.parse import urlsplit

from ipylti.lti import claims
from ipylti.lti.messages import RESOURCE_LINK_REQUEST

#: Where the tool appears, and by which message: for an assignment or a module it is chosen by Deep Linking.
PLACEMENTS = (
    ("assignment_selection", "LtiDeepLinkingRequest"),
    ("link_selection", "LtiDeepLinkingRequest"),
    ("course_navigation", RESOURCE_LINK_REQUEST),
)


def canvas_configuration(tool_url: str, title: str, description: str) -> dict[str, Any]:
    """Return the configuration as a JSON object.

    :param tool_url: the tool's own URL, without a slash at its end.
    """
    launch = f"{tool_url}/launch"
    placements = [
        {"placement": placement, "message_type": message_type, "target_link_uri": launch, "text": title}
        for placement, message_type in PLACEMENTS
    ]
    return {
        "title": title,
        "description": description,
        "oidc_initiation_url": f"{tool_url}/login",
        "target_link_uri": launch,
        "public_jwk_url": f"{tool_url}/.well-known/jwks.json",
        "scopes": list(claims.SCOPES),
        "custom_fields": dict(claims.CUSTOM_FIELDS),
        "extensions": [
            {
                "domain": urlsplit(tool_url).netloc,
                "tool_id": "ipylti",
                "platform": "canvas.instructure.com",
                # Names for the teacher's lists; nothing here needs an e-mail address.
                "privacy_level": "name_only",
                "settings": {"text": title, "placements": placements},
            }
        ],
    }
