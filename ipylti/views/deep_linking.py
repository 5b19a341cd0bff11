"""Deep Linking: a teacher chooses what a new activity in the course is to be (LTI Deep Linking 2.0)."""

import math
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pyramid.renderers import render_to_response
from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import view_config, view_defaults

from ipylti import assignments, audit, http, ids, models, security, trace
from ipylti.errors import AccessDenied
from ipylti.launches import frame_origins, participants
from ipylti.lti import deep_linking
from ipylti.lti.messages import DeepLinkingMessage
from ipylti.platforms import ToolKeys
from ipylti.security import SelectionContext
from ipylti.views import limits

#: Seconds that a teacher may take to choose.
CHOOSING_SECONDS = 2 * 3600

TITLE_LENGTH = 200
LARGEST_MAXIMUM = 100_000.0

#: Points that are suggested.
POINTS = "100"


def begin(request: Request, message: DeepLinkingMessage) -> str:
    """Remember what a platform asks for, and return the path of the page on which a teacher chooses.

    :raises AccessDenied: ``selection.not_teacher``.
    :raises ipylti.errors.IpyltiError: ``deep_linking.not_accepted``: the platform wants no link here.
    """
    if not message.roles.staff:
        raise AccessDenied("not a teacher of this course", code="selection.not_teacher")
    deep_linking.require_links(message.settings)
    deployment, context, person = participants(request.db, message)
    selection_id = ids.random_id()
    record = {
        "answer": deep_linking.DeepLinkingReturn.of(message).to_dict(),
        "deployment": deployment.id,
        "context": context.id if context else None,
        "course": context.title if context else "",
        "person": person.id,
        "title": _suggested(message, request.services.settings.title),
        # Where the answer goes is where the page that frames this one comes from.
        "frame_origins": sorted(
            {*frame_origins(message, deployment), http.origin(message.settings.return_url)}
        ),
    }
    request.services.selections.put(selection_id, record, CHOOSING_SECONDS)
    security.remember(request, selection_id)
    return str(request.route_path("selection", launch_id=selection_id))


def _suggested(message: DeepLinkingMessage, tool: str) -> str:
    """Return the title that a platform suggests; where it has none, Moodle suggests the tool's own name."""
    title = message.settings.title or ""
    return "" if title == tool else title


@dataclass(frozen=True)
class Choice:
    """What the form says, checked.

    :param maximum: points, None for an activity without a column in the gradebook.
    :param source: the id of the assignment to copy, or None for an empty one.
    """

    title: str
    maximum: float | None
    image: str | None
    egress: bool | None
    due_at: datetime | None
    source: str | None
    limits: limits.Chosen


@view_defaults(route_name="selection", permission="choose")
class Selection:
    """The page on which a teacher chooses, and its answer."""

    def __init__(self, context: SelectionContext, request: Request) -> None:
        self.id = context.id
        self.record = context.record
        self.request = request
        self.settings = request.services.settings
        self.answer = deep_linking.DeepLinkingReturn.from_dict(context.record["answer"])

    @view_config(request_method="GET", renderer="ipylti:templates/selection.jinja2")
    def page(self) -> dict[str, Any]:
        """Show the form."""
        title = self.record["title"]
        given = {
            "title": title,
            "points": POINTS,
            "graded": "1",
            "egress": "1" if self.settings.egress else "",
        }
        return self._form(given, {})

    @view_config(request_method="POST", renderer="ipylti:templates/selection.jinja2")
    def choose(self) -> Any:
        """Make the blueprint and hand its link to the platform; or say what is wrong with the form."""
        given = {name: str(value).strip() for name, value in self.request.POST.items()}
        # A browser without our cookies asks for the page itself by a form.
        if given.get("do") == "show":
            return self.page()
        if given.get("do") == "cancel":
            return self._answered([])
        choice, problems = self._read(given)
        if choice is None:
            self.request.response.status_int = 400
            return self._form(given, problems)
        return self._answered([self._item(choice)])

    def _form(self, given: dict[str, str], problems: dict[str, str]) -> dict[str, Any]:
        return {
            "course": self.record["course"],
            "given": given,
            "problems": problems,
            "copies": self._copies(),
            "images": self.settings.images,
            "limits_offered": limits.offered(self.settings),
            "egress_offered": self.settings.egress,
            "graded_offered": self.answer.accept_line_item is not False,
            "csrf_token": self.request.session.get_csrf_token(),
            "session_token": security.given_session_token(self.request),
        }

    def _copies(self) -> list[models.Assignment]:
        db = self.request.db
        context = db.get(models.Context, self.record["context"]) if self.record["context"] else None
        return assignments.to_copy(db, context, db.get_one(models.Person, self.record["person"]))

    def _read(self, given: dict[str, str]) -> tuple[Choice | None, dict[str, str]]:
        """Return what the form says, or None and a sentence for each field that is wrong."""
        problems: dict[str, str] = {}
        title = given.get("title", "")
        if not 0 < len(title) <= TITLE_LENGTH:
            problems["title"] = f"Give a title of at most {TITLE_LENGTH} characters."
        maximum = _points(given, problems) if self.answer.accept_line_item is not False else None
        due_at = _due(given, problems)
        image = given.get("image") or None
        if image is not None and image not in {each.reference for each in self.settings.images}:
            problems["image"] = "Choose one of the images in the list."
        source = given.get("source") or None
        if source is not None and source not in {each.id for each in self._copies()}:
            problems["source"] = "Choose one of the assignments in the list."
        chosen = limits.read(self.settings, given, problems)
        if problems:
            return None, problems
        egress = bool(given.get("egress")) if self.settings.egress else None
        return Choice(title, maximum, image, egress, due_at, source, chosen), {}

    def _item(self, choice: Choice) -> dict[str, Any]:
        """Make the blueprint of a choice, and return the content item that carries it."""
        blueprint = models.Blueprint(
            id=ids.random_id(),
            deployment_id=self.record["deployment"],
            context_id=self.record["context"],
            person_id=self.record["person"],
            title=choice.title,
            image=choice.image,
            egress=choice.egress,
            memory=choice.limits.memory,
            cpus=choice.limits.cpus,
            due_at=choice.due_at,
            maximum=choice.maximum,
            source_id=choice.source,
        )
        self.request.db.add(blueprint)
        actor = trace.person(self.record["person"])
        audit.record(
            self.request.db, actor, "assignment chosen", blueprint=blueprint.id, source=choice.source
        )
        return deep_linking.content_item(
            launch_url=self.settings.launch_url,
            title=choice.title,
            assignment=blueprint.id,
            maximum=choice.maximum,
            due_at=choice.due_at,
        )

    def _answered(self, items: list[dict[str, Any]]) -> Response:
        """Return the page that posts the answer to the platform. It can be had once: a second press of the
        button would make a second activity."""
        if self.request.services.selections.take(self.id) is None:
            raise AccessDenied("answered already", code="selection.over")
        moment = datetime.now(UTC)
        signer = ToolKeys(self.request.db).signer(moment)
        values = {
            "return_url": self.answer.return_url,
            "jwt": deep_linking.response(self.answer, items, signer, moment),
            "chosen": bool(items),
        }
        return render_to_response("ipylti:templates/returning.jinja2", values, self.request)


def _points(given: dict[str, str], problems: dict[str, str]) -> float | None:
    """Read the points, None where there is to be no grade."""
    if not given.get("graded"):
        return None
    try:
        points = float(given.get("points", "").replace(",", "."))
    except ValueError:
        points = math.nan
    if not 0 < points <= LARGEST_MAXIMUM:
        problems["points"] = f"Give points above 0 and up to {LARGEST_MAXIMUM:g}."
    return points


def _due(given: dict[str, str], problems: dict[str, str]) -> datetime | None:
    """Read the due date, in the zone that the browser told; UTC without."""
    text = given.get("due", "")
    if not text:
        return None
    try:
        zone = zoneinfo.ZoneInfo(given.get("zone") or "UTC")
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        zone = zoneinfo.ZoneInfo("UTC")
    try:
        return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        problems["due"] = "This is not a date and time."
        return None
