"""The workbench: a launch's page, its status, Submit, and opening the notebook in a tab of its own."""

from datetime import UTC, datetime
from typing import Any

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import view_config, view_defaults

from ipylti import ids, submissions, trace
from ipylti.lti.registrations import Quirks
from ipylti.security import LaunchContext, given_session_token
from ipylti.views import limits
from ipylti.views.accept import wants_json
from ipylti.views.framed import tab_url
from ipylti.views.status import notices, server_status, submission_status
from ipylti.volatile import Progress, State

#: Seconds for which a ticket to the notebook host is good.
TICKET_LIFETIME = 60


@view_defaults(permission="work")
class Workbench:
    """What a person does with their launch."""

    def __init__(self, context: LaunchContext, request: Request) -> None:
        self.launch = context.launch
        self.request = request
        self.services = request.services
        context.require_valid()
        trace.act_as(trace.person(self.launch.person_id))

    @view_config(
        route_name="workbench",
        # A browser that keeps no cookies here asks by a form, which carries its session's token.
        request_method=("GET", "POST"),
        renderer="ipylti:templates/workbench.jinja2",
    )
    def page(self) -> dict[str, Any]:
        """Show the workbench; whoever looks at it wants the server."""
        launch, request = self.launch, self.request
        link = launch.resource_link
        context = link.assignment.context
        progress = self.services.desk.ask(launch.workspace_id)
        return {
            "title": link.title or self.services.settings.title,
            "description": link.description,
            "role": "teacher" if launch.staff else "student",
            "course": context.title if context else "",
            "launch_id": launch.id,
            "due_at": launch.due_at.isoformat() if launch.due_at else None,
            "available_until": launch.available_until.isoformat() if launch.available_until else None,
            "csrf_token": request.session.get_csrf_token(),
            "session_token": given_session_token(request),
            "submit_url": request.route_path("submit", launch_id=launch.id),
            "status_url": request.route_path("status", launch_id=launch.id),
            "tab_url": request.route_path("tab", launch_id=launch.id),
            "awake_url": request.route_path("stay_awake", launch_id=launch.id),
            "limits_url": self._limits_url(),
            "people_url": request.route_path("people", launch_id=launch.id) if launch.staff else None,
            "close_url": launch.return_url,
            "close_on_top": Quirks.from_dict(link.deployment.registration.quirks).return_on_top,
            "notebook_origin": self.services.settings.notebook_origin(launch.workspace_id),
            "can_submit": not launch.staff and not launch.person.test_user,
            "test_user": launch.person.test_user,
            "status": self._status(progress),
        }

    @view_config(route_name="status", request_method="GET", renderer="json")
    def status(self) -> dict[str, Any]:
        """Say how far the server is, and the newest submission.

        With ``opened`` in the query, a page says that it has its notebook, and needs no ticket any more.
        """
        return self._status(self.services.desk.look(self.launch.workspace_id))

    @view_config(route_name="stay_awake", request_method="POST")
    def stay_awake(self) -> Response:
        """Let the server go on for as long as if somebody had just done something."""
        workspace = self.launch.workspace_id
        self.services.visits.note(workspace)
        self.services.board.warn(workspace, None)
        if wants_json(self.request):
            return Response(json_body=self.status())
        return HTTPSeeOther(self.request.route_path("workbench", launch_id=self.launch.id))

    @view_config(route_name="tab", request_method="POST")
    def tab(self) -> Response:
        """Open the notebook in a tab of its own; where the server sleeps, its host's page wakes it.

        In a frame a script asks for the URL, since a new tab is not sent the frame's partitioned cookies. A
        browser that keeps no cookies in the frame gets all of the workbench in the tab: there it does.
        """
        if given_session_token(self.request):
            path = self.request.route_path("workbench", launch_id=self.launch.id)
            url = tab_url(self.request, self.launch.id, path)
        else:
            url = self._enter_url()
        return Response(json_body={"url": url}) if wants_json(self.request) else HTTPSeeOther(url)

    @view_config(route_name="submit", request_method="POST", permission="submit")
    def submit(self) -> Response:
        """Hand in the workspace as it is now."""
        submission = submissions.submit(self.request.db, self.launch, datetime.now(UTC))
        self.request.after_commit("freeze_submission", submission.id)
        if wants_json(self.request):
            return Response(json_body={"submission": submission_status(submission)}, status=201)
        return HTTPSeeOther(self.request.route_path("workbench", launch_id=self.launch.id))

    def _status(self, progress: Progress) -> dict[str, Any]:
        launch = self.launch
        ready = progress.state is State.READY
        position, wait = self.services.waiting(launch.workspace_id) if not ready else (None, None)
        newest = None if launch.staff else submissions.latest(self.request.db, launch.workspace_id)
        usage = self.services.usage
        status = server_status(progress, position, wait, self.request.request_id)
        # Where no cookie is kept, the notebook can't be let in.
        entering = ready and "opened" not in self.request.GET and not given_session_token(self.request)
        return status | {
            "url": self._enter_url() if entering else None,
            "notices": notices(usage.files(launch.workspace_id), usage.out_of_memory(launch.workspace_id)),
            "submission": submission_status(newest),
        }

    def _limits_url(self) -> str | None:
        """Return where a teacher chooses what each notebook may use, None where nothing can be chosen."""
        if not self.launch.staff or not limits.offered(self.services.settings):
            return None
        return str(self.request.route_path("limits", launch_id=self.launch.id))

    def _enter_url(self) -> str:
        """Return a URL that lets this browser into the notebook host, once and soon."""
        ticket = ids.random_id()
        record = {
            "workspace": self.launch.workspace_id,
            "launch": self.launch.id,
            "expires": int(self.launch.expires_at.timestamp()),
        }
        self.services.tickets.put(ticket, record, TICKET_LIFETIME)
        origin = self.services.settings.notebook_origin(self.launch.workspace_id)
        return f"{origin}/_ipylti/enter?ticket={ticket}"
