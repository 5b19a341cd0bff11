"""From a verified message to the page that it opens."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from pyramid.request import Request

from ipylti import audit, models, rosters, security, submissions, trace
from ipylti.errors import AccessDenied, UnknownDeployment
from ipylti.launches import open_launch
from ipylti.lti import messages
from ipylti.lti.messages import DeepLinkingMessage, Message, ResourceLinkMessage, SubmissionReviewMessage
from ipylti.metrics import count_launch
from ipylti.platforms import Lookup, Platforms
from ipylti.views import deep_linking


def receive(
    request: Request, params: Iterable[tuple[str, object]], cookies: Mapping[str, str], now: float
) -> Message | messages.Parked:
    """Return the message that a launch brought, verified, or what has to happen before it may be used.

    No transaction is open for longer than a look: the platform's keys may have to be fetched.

    :param now: seconds since 1970.
    """
    services = request.services
    return messages.receive(
        params,
        cookies,
        services.states,
        Lookup(services.reading, trust_new=services.settings.trust_new_deployments),
        services.platform_keys,
        services.settings.url,
        ("/launch",),
        staff_from_institution=services.settings.administrators_are_staff,
        now=now,
    )


def opened(request: Request, message: Message) -> str:
    """Do what a message asks for, and return the path of the page that this browser is to be sent to.

    :raises UnknownDeployment: the deployment was to become known by this message, but another came first.
    """
    known = message.registration
    if message.deployment_id not in known.deployments:
        platforms = Platforms(request.db, trust_new=request.services.settings.trust_new_deployments)
        if not platforms.accept_deployment(known.id, message.deployment_id):
            raise UnknownDeployment(known.issuer, known.client_id, message.deployment_id)
        audit.record(
            request.db,
            trace.program("launch"),
            "deployment accepted",
            issuer=known.issuer,
            client_id=known.client_id,
            deployment=message.deployment_id,
        )
    if isinstance(message, DeepLinkingMessage):
        return deep_linking.begin(request, message)
    if isinstance(message, ResourceLinkMessage):
        return _launched(request, message)
    raise AccessDenied("a message that opens nothing", code="message.type")


def _launched(request: Request, message: ResourceLinkMessage) -> str:
    """Open a launch; its page is the workbench, or a submission that the message names."""
    launch = open_launch(request.db, message, datetime.now(UTC))
    security.remember(request, launch.id)
    count_launch(request)
    if rosters.wanted(launch.resource_link):
        request.after_commit("refresh_roster", launch.resource_link_id)
    if launch.resource_link.assignment.source_id:
        request.after_commit("prepare_base", launch.resource_link.assignment_id)
    if isinstance(message, SubmissionReviewMessage):
        return _review(request, launch, submissions.find_for_review(request.db, launch, message.for_user))
    named = parse_qs(urlsplit(message.target_link_uri).query).get("submission", [""])[0]
    if named.isascii() and named.isdigit() and len(named) < 19:
        return _review(request, launch, submissions.visible(request.db, launch, int(named)))
    workspace = launch.workspace_id
    desk = request.services.desk
    request.tm.get().addAfterCommitHook(lambda success: success and desk.ask(workspace))
    return str(request.route_path("workbench", launch_id=launch.id))


def _review(request: Request, launch: models.Launch, submission: models.Submission | None) -> str:
    """Return the path of a submission's page; where there is none for this person, of what leads on."""
    if submission is not None:
        return str(request.route_path("submission", launch_id=launch.id, submission_id=submission.id))
    return str(request.route_path("people" if launch.staff else "workbench", launch_id=launch.id))
