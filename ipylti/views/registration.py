"""Dynamic Registration: a platform's administrator opens an invitation's URL from within the platform."""

from collections.abc import Mapping
from typing import Any

from pyramid.request import Request
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from ipylti import audit, models, security, trace
from ipylti.errors import BadRequest
from ipylti.invitations import Invitations
from ipylti.lti import claims, dynamic_registration, registrations
from ipylti.lti.dynamic_registration import PlatformConfiguration, Registered
from ipylti.lti.forms import single
from ipylti.platforms import Platforms
from ipylti.services import Services

#: What people call the services that a platform may allow.
SERVICES: Mapping[str, str] = {
    claims.SCOPE_LINE_ITEM: "make columns in the gradebook",
    claims.SCOPE_SCORE: "send scores",
    claims.SCOPE_RESULT_READ: "see which grades stand, so that none is overwritten",
    claims.SCOPE_MEMBERS_READ: "see who is in the course",
}

#: Code of a product family -> what an administrator still has to do there.
NEXT_STEPS: Mapping[str, tuple[str, ...]] = {
    "moodle": (
        "The tool is pending: press “Activate” on its card under “Manage tools”.",
        "Edit the tool (the gear) and choose “Show in activity chooser and as a preconfigured tool”. Or leave"
        " it to teachers: in the course, More, “LTI External tools”, “Show in activity chooser”.",
    ),
    "canvas": (
        "Make the app available where it is to be used: Apps, Manage, “Availability and Exceptions”.",
        "Where there is no Apps page: switch the developer key on, and install the app by its client id in an"
        " account or a course (Settings, Apps, “+ App”).",
    ),
    "d2l": (
        "Enable the tool and its registration.",
        "Make a deployment of it with Assignment and Grade Services, Deep Linking and Names and Role "
        "Provisioning Services, for the org units that are to have it.",
        "In the deployment, make a link of the type “Deep Linking Quicklink”.",
    ),
    "blackboard": (
        "Approve the tool under “LTI Tool Providers”, and allow grade service access and membership service "
        "access in its policy.",
        "Make a placement of the type “Deep Linking content tool”.",
    ),
    "sakai": ("Allow the tool to send grades, to see the roster and to be used as a content item.",),
}
_OTHERWISE = ("Switch the tool on, if your platform asks for it, and allow it what is listed above.",)

# The invitation is the permission: the platform's administrator has no account here.


@view_config(
    route_name="register",
    request_method="GET",
    permission=NO_PERMISSION_REQUIRED,
    renderer="ipylti:templates/registration.jinja2",
)
def register(request: Request) -> dict[str, Any]:
    """Register the platform that opened an invitation, and show what came of it.

    Opened by a person outside of a platform it says what to do with its URL, and the invitation stays good.
    """
    security.let_anybody_frame(request)
    services: Services = request.services
    given = single(request.GET.items(), BadRequest)
    invitation, url = given.get("token", ""), given.get("openid_configuration", "")
    with services.reading() as db:
        Invitations(db).look(invitation, models.now())
    if not url:
        return {"registered": None, "url": request.url}
    with services.sessions.begin() as db:
        Invitations(db).take(invitation, models.now())
    try:
        found, registered = _introduce(services, url, given.get("registration_token") or None)
        _keep(services, invitation, found, registered)
    except Exception:
        with services.sessions.begin() as db:
            Invitations(db).give_back(invitation)
        raise
    request.registry["ipylti.frame_origins"].forget()
    family = registrations.family_of(found.product_family)
    allowed = registered.scopes if registered.scopes is not None else found.scopes
    return {
        "registered": {
            "issuer": found.issuer,
            "client_id": registered.client_id,
            "deployment": registered.deployment,
            "services": [words for scope, words in SERVICES.items() if scope in allowed],
            "missing": [words for scope, words in SERVICES.items() if scope not in allowed],
        },
        "next_steps": NEXT_STEPS.get(family.code if family else "", _OTHERWISE),
        "url": None,
    }


def _introduce(services: Services, url: str, token: str | None) -> tuple[PlatformConfiguration, Registered]:
    """Read what the platform says of itself, and register there."""
    settings = services.settings
    found = dynamic_registration.read_configuration(
        services.http, url, token, allow_http=settings.allow_private_platforms
    )
    asked = dynamic_registration.registration_request(
        found,
        tool_url=settings.url,
        title=settings.title,
        description="JupyterLab assignments",
    )
    return found, dynamic_registration.register(services.http, found, token, asked)


def _keep(services: Services, invitation: str, found: PlatformConfiguration, registered: Registered) -> None:
    """Write the registration down.

    An audience that the platform does not tell is its family's.
    """
    family = registrations.family_of(found.product_family)
    with services.sessions.begin() as db:
        row = Platforms(db).register(
            issuer=found.issuer,
            client_id=registered.client_id,
            auth_url=found.auth_url,
            token_url=found.token_url,
            jwks_url=found.jwks_url,
            token_audience=found.token_audience or (family.token_audience if family else None),
            deployment=registered.deployment,
            quirks=registrations.preset(found.product_family),
            allow_http=services.settings.allow_private_platforms,
        )
        Invitations(db).became(invitation, row)
        actor = trace.program("registration")
        audit.record(db, actor, "platform registered", issuer=row.issuer, client_id=row.client_id)
