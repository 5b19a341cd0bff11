"""The authorization endpoint and the platform's keys."""

from typing import Any

from pyramid.httpexceptions import HTTPBadRequest
from pyramid.request import Request
from pyramid.view import view_config


@view_config(route_name="auth", request_method=("GET", "POST"), renderer="form_post.jinja2")
def authorize(request: Request) -> dict[str, Any]:
    """Check an authentication request and post the message to the tool.

    A wrong client or redirect URI is answered by a page: nothing is ever sent to an address that is not the
    tool's. All other refusals go to the tool, see :class:`LoginRefused`.
    """
    campus = request.campus
    given = request.POST if request.method == "POST" else request.GET
    fields = {name: given.getall(name) for name in given}
    campus.registry.require_tool()
    if fields.get("client_id") != [campus.config.client_id]:
        raise HTTPBadRequest(f"client_id is not one that campus knows: {fields.get('client_id')}")
    redirect_uris = fields.get("redirect_uri", [])
    if len(redirect_uris) != 1 or redirect_uris[0] not in campus.config.redirect_uris:
        raise HTTPBadRequest(f"redirect_uri is not registered: {redirect_uris}")
    launch = campus.logins.authenticate(redirect_uris[0], fields, request.person)
    token = campus.sealed(launch.person, launch.errand, fields["nonce"][0], launch.target, {})
    campus.log.accept("auth", f"{launch.person.name} launches “{launch.errand.title}” ({launch.target})")
    return {
        "action": redirect_uris[0],
        "fields": {"id_token": token, "state": fields["state"][0]},
        "title": launch.errand.title,
    }


@view_config(route_name="jwks", request_method="GET", renderer="json")
def jwks(request: Request) -> dict[str, Any]:
    """The platform's public keys."""
    keys: dict[str, Any] = request.campus.keys.jwks(request.campus.config.behaviour.key_algorithm)
    return keys
