"""Who handed in what: the teacher's page, and the page of one submission."""

from typing import Any
from urllib.parse import unquote

from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.renderers import render_to_response
from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import view_config

from ipylti import audit, models, outbox, people, rosters, submissions, trace
from ipylti.security import LaunchContext, given_session_token
from ipylti.views.delivery import words_for

_PEOPLE = "ipylti:templates/people.jinja2"

#: Type in a manifest (:mod:`ipylti.servers.copier`) -> what people call it.
_KINDS = {"f": "file", "d": "folder", "l": "link", "p": "pipe", "s": "socket"}

#: What ``resend`` takes in place of a submission's number: all that failed.
_ALL = "all"


class People:
    """The pages; those of staff say so."""

    def __init__(self, context: LaunchContext, request: Request) -> None:
        context.require_valid()
        self.launch = context.launch
        self.request = request
        trace.act_as(trace.person(self.launch.person_id))

    @view_config(
        route_name="people",
        # By a form where a browser keeps no cookies, as the workbench.
        request_method=("GET", "POST"),
        permission="teach",
        renderer=_PEOPLE,
    )
    def page(self) -> dict[str, Any]:
        """Show all students of the link, and have the roster read if that is long ago."""
        link = self.launch.resource_link
        if rosters.wanted(link):
            self.request.after_commit("refresh_roster", link.id)
        return self._list()

    @view_config(route_name="resend", request_method="POST", permission="teach")
    def resend(self) -> Response:
        """Have a score sent again that the platform did not take, or all of those."""
        named = self.request.matchdict["submission_id"]
        wanted = self._failed() if named == _ALL else [self._submission(named)]
        for submission in wanted:
            item = outbox.resend(self.request.db, submission, models.now())
            if item is not None:
                self.request.after_commit("deliver_score", item)
        if given_session_token(self.request):
            # After a redirect such a browser would be nobody.
            return render_to_response(_PEOPLE, self._list(), self.request)
        return HTTPSeeOther(self.request.route_path("people", launch_id=self.launch.id))

    @view_config(
        route_name="submission",
        request_method=("GET", "POST"),
        permission="work",
        renderer="ipylti:templates/submission.jinja2",
    )
    def submission(self) -> dict[str, Any]:
        """Show what a submission holds, and what became of it."""
        found = self._submission(self.request.matchdict["submission_id"])
        person = found.workspace.person
        if found.workspace.person_id != self.launch.person_id:
            self._record_look(found)
        due = found.launch.due_at
        return self._common() | {
            "number": found.number,
            "person": _name(person.name, person.sub) if person else "",
            "submitted_at": found.submitted_at.isoformat(),
            "late": due is not None and found.submitted_at > due,
            "frozen": found.state == models.SubmissionState.FROZEN,
            "digest": found.digest,
            "size": found.size,
            "files": found.files,
            "entries": entries(found.manifest or ""),
            "delivery": words_for(found.outbox) if self.launch.staff else "",
            "delivery_state": str(found.outbox.state) if found.outbox else "none",
            "resend_url": self._resend_url(found) if self.launch.staff and _has_failed(found) else None,
        }

    def _list(self) -> dict[str, Any]:
        rows = [self._row(row) for row in people.at_link(self.request.db, self.launch.resource_link)]
        read_at = self.launch.resource_link.roster_at
        return self._common() | {
            "rows": rows,
            "counted": len([row for row in rows if not row["test_user"]]),
            "handed_in": len([row for row in rows if row["submitted_at"] and not row["test_user"]]),
            "failed": len([row for row in rows if row["resend_url"]]),
            "resend_all_url": self._resend_url(None),
            "roster_at": read_at.isoformat() if read_at else None,
        }

    def _row(self, row: people.Row) -> dict[str, Any]:
        found = row.submission
        return {
            "name": _name(row.name, row.sub),
            "left": row.left,
            "test_user": row.test_user,
            "working_since": row.working_since.isoformat() if row.working_since else None,
            "number": found.number if found else 0,
            "submitted_at": found.submitted_at.isoformat() if found else None,
            "late": row.late,
            "delivery": words_for(row.item),
            "delivery_state": str(row.item.state) if row.item else "none",
            "url": self._path("submission", found) if found else None,
            "resend_url": self._resend_url(found) if found and row.failed else None,
        }

    def _common(self) -> dict[str, Any]:
        launch, request = self.launch, self.request
        context = launch.resource_link.assignment.context
        return {
            "title": launch.resource_link.title or request.services.settings.title,
            "course": context.title if context else "",
            "staff": launch.staff,
            "csrf_token": request.session.get_csrf_token(),
            "session_token": given_session_token(request),
            "workbench_url": request.route_path("workbench", launch_id=launch.id),
            "people_url": request.route_path("people", launch_id=launch.id),
        }

    def _failed(self) -> list[models.Submission]:
        rows = people.at_link(self.request.db, self.launch.resource_link)
        return [row.submission for row in rows if row.failed and row.submission is not None]

    def _submission(self, named: str) -> models.Submission:
        """Return the submission of that number, if this launch may see it.

        :raises HTTPNotFound: there is none for this person.
        """
        is_number = named.isascii() and named.isdigit() and len(named) < 19
        found = submissions.visible(self.request.db, self.launch, int(named)) if is_number else None
        if found is None:
            raise HTTPNotFound
        return found

    def _record_look(self, submission: models.Submission) -> None:
        """Write down that somebody looks at another one's work, in a transaction beside the request's: that
        one only reads. What can't be written down is not shown."""
        with self.request.services.sessions.begin() as db:
            audit.record(
                db,
                trace.current().actor,
                "submission opened",
                workspace=submission.workspace,
                submission=submission.id,
                number=submission.number,
            )

    def _resend_url(self, submission: models.Submission | None) -> str:
        return self._path("resend", submission)

    def _path(self, route: str, submission: models.Submission | None) -> str:
        named = str(submission.id) if submission is not None else _ALL
        return str(self.request.route_path(route, launch_id=self.launch.id, submission_id=named))


def entries(manifest: str) -> list[dict[str, Any]]:
    """Return the lines of a manifest (:mod:`ipylti.servers.copier`) for people.

    Names are as hostile as code can make them: what can't be printed is shown as a replacement character.
    """
    found = []
    for line in manifest.splitlines():
        kind, _mode, size, _content, path = line.split(" ")
        readable = unquote(path, errors="replace")
        found.append(
            {
                "kind": _KINDS[kind],
                "size": int(size) if kind == "f" else None,
                "path": "".join(each if each.isprintable() else "\ufffd" for each in readable),
            }
        )
    return found


def _has_failed(submission: models.Submission) -> bool:
    return submission.outbox is not None and submission.outbox.state == models.OutboxState.FAILED


def _name(name: str, sub: str) -> str:
    """Return a person's name; where the platform tells none, one to tell them apart by."""
    return name or f"Person {sub[:8]}"
