"""What an assignment's notebooks may use, as far as its teacher may choose: fields of a form, their page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.renderers import render_to_response
from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import view_config, view_defaults

from ipylti import audit, trace
from ipylti.limits import cpus_choices, memory_choices
from ipylti.security import LaunchContext, given_session_token
from ipylti.settings import Settings
from ipylti.views import amounts

_PAGE = "ipylti:templates/limits.jinja2"


@dataclass(frozen=True)
class Chosen:
    """What a teacher chose; None is as usual.

    :param memory: bytes.
    :param cpus: cores.
    """

    memory: int | None
    cpus: float | None


def offered(settings: Settings) -> dict[str, list[tuple[str, str]]]:
    """Return by field what may be chosen, as it stands in the form and in words; no field, no choice."""
    memory = [(str(each), amounts.size(each)) for each in memory_choices(settings)]
    cpus = [(f"{each:g}", amounts.cores(each)) for each in cpus_choices(settings)]
    return {name: choices for name, choices in (("memory", memory), ("cpus", cpus)) if choices}


def given(memory: int | None, cpus: float | None) -> dict[str, str]:
    """Return a choice as it stands in the form."""
    return {
        "memory": "" if memory is None else str(memory),
        "cpus": "" if cpus is None else f"{cpus:g}",
    }


def read(settings: Settings, form: Mapping[str, str], problems: dict[str, str]) -> Chosen:
    """Return what the form says; a field that says something else than what is offered is a problem."""
    found = {"memory": "", "cpus": ""}
    for name, choices in offered(settings).items():
        found[name] = form.get(name, "")
        if found[name] not in {"", *(value for value, _words in choices)}:
            problems[name] = "Choose one of the amounts in the list."
            found[name] = ""
    return Chosen(
        int(found["memory"]) if found["memory"] else None, float(found["cpus"]) if found["cpus"] else None
    )


@view_defaults(permission="teach")
class LimitsPage:
    """The page on which teachers change them for an assignment that stands."""

    def __init__(self, context: LaunchContext, request: Request) -> None:
        context.require_valid()
        self.launch = context.launch
        self.assignment = context.launch.resource_link.assignment
        self.request = request
        self.settings = request.services.settings

    @view_config(
        route_name="limits",
        # By a form where a browser keeps no cookies, as the workbench.
        request_method=("GET", "POST"),
        renderer=_PAGE,
    )
    def page(self) -> dict[str, Any]:
        """Show the form."""
        return self._form(given(self.assignment.memory, self.assignment.cpus), {})

    @view_config(route_name="save_limits", request_method="POST", renderer=_PAGE)
    def save(self) -> Any:
        """Write down what was chosen; servers that start from now on have it."""
        form = {name: str(value).strip() for name, value in self.request.POST.items()}
        problems: dict[str, str] = {}
        chosen = read(self.settings, form, problems)
        if problems:
            self.request.response.status_int = 400
            return self._form(form, problems)
        self.assignment.memory, self.assignment.cpus = chosen.memory, chosen.cpus
        audit.record(
            self.request.db,
            trace.person(self.launch.person_id),
            "assignment limited",
            assignment=self.assignment.id,
            memory=chosen.memory,
            cpus=chosen.cpus,
        )
        return self._back()

    def _back(self) -> Response:
        if given_session_token(self.request):
            # After a redirect such a browser would be nobody.
            return render_to_response(_PAGE, self.page() | {"saved": True}, self.request)
        path = self.request.route_path("limits", launch_id=self.launch.id, _query={"saved": "1"})
        return HTTPSeeOther(path)

    def _form(self, given: dict[str, str], problems: dict[str, str]) -> dict[str, Any]:
        launch, request = self.launch, self.request
        image = self.settings.listed_image(self.assignment.image)
        return {
            "title": launch.resource_link.title or self.settings.title,
            "given": given,
            "problems": problems,
            "offered": offered(self.settings),
            "usual": self._usual(),
            "software": image.title if image else "",
            "volume_size": amounts.size(image.volume_size) if image and image.volume_size else "",
            "saved": "saved" in request.GET and not problems,
            "csrf_token": request.session.get_csrf_token(),
            "session_token": given_session_token(request),
            "save_url": request.route_path("save_limits", launch_id=launch.id),
            "workbench_url": request.route_path("workbench", launch_id=launch.id),
        }

    def _usual(self) -> dict[str, str]:
        """Return by field what holds where nothing is chosen, in words."""
        image = self.settings.listed_image(self.assignment.image)
        memory, cpus = (image.memory, image.cpus) if image else (None, None)
        return {
            "memory": amounts.size(memory) if memory else "",
            "cpus": amounts.cores(cpus) if cpus else "",
        }
