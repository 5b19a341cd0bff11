"""Where answers to deep linking requests arrive."""

from typing import Any

from pyramid.request import Request
from pyramid.view import view_config

from ..shapes import bad
from .members import course_path

FORM = "application/x-www-form-urlencoded"


@view_config(route_name="content", request_method="POST", renderer="return.jinja2")
def take(request: Request) -> dict[str, Any]:
    """Take what a teacher chose in the tool (Deep Linking 2.0, "Deep linking response message").

    The browser comes from the tool's page, so campus' cookie stays behind: who it is, the request knows that
    is answered. The whole window is led to the course page.
    """
    campus = request.campus
    if request.content_type != FORM:
        raise bad(f"the body is {request.content_type or 'untyped'}, not {FORM}")
    if list(request.POST) != ["JWT"]:
        raise bad(f"the form has {', '.join(request.POST) or 'nothing'}, not one JWT")
    selection = request.GET.getall("selection")
    if len(selection) != 1 or list(request.GET) != ["course", "selection"]:
        raise bad("the query of the return address is not as campus gave it")
    answer = campus.answers.take(request.POST["JWT"], selection[0])
    titles = ", ".join(f"“{link.title}”" for link in answer.links)
    campus.log.accept("content", f"the tool brings {titles}" if titles else "nothing was chosen")
    for name in ("log", "errorlog"):
        if answer.texts.get(name):
            campus.log.accept("content", f"the tool's {name}: {answer.texts[name]}")
    told = {f"lti_{name}": answer.texts[name] for name in ("msg", "errormsg") if answer.texts.get(name)}
    added = [link.id for link in answer.links]
    return {"address": course_path(request, answer.course, added=added, **told)}
