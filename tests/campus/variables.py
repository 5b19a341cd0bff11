"""Custom parameters and their variables (LTI Core 1.3, "Custom properties and variable substitution")."""

from collections.abc import Mapping
from urllib.parse import quote

from .course import Course, Link
from .families import Behaviour
from .people import Person
from .shapes import utc_text


def substitute(custom: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """Custom parameters with their variables filled in.

    A variable without a value stays as it is written, as platforms leave what they do not know.
    """
    return {name: values.get(value, value) for name, value in custom.items()}


def values(behaviour: Behaviour, person: Person, course: Course, link: Link | None) -> dict[str, str]:
    """The variables that have a value.

    :param link: what is launched, None for a message that is about no link.
    """
    found = {
        "$User.id": person.sub,
        "$Person.name.full": person.name,
        "$Context.id": course.id,
        "$Context.label": course.label,
        "$Context.title": course.title,
        **_history("$Context.id.history", course.history, behaviour.context_history, behaviour),
    }
    return found if link is None else found | _of_link(behaviour, link)


def _of_link(behaviour: Behaviour, link: Link) -> dict[str, str]:
    found = {
        "$ResourceLink.id": link.id,
        "$ResourceLink.title": link.title,
        "$ResourceLink.description": link.description,
        **_history("$ResourceLink.id.history", link.history, behaviour.link_history, behaviour),
    }
    dates = {
        "$ResourceLink.available.startDateTime": link.available_from,
        "$ResourceLink.available.endDateTime": link.available_until,
        "$ResourceLink.submission.endDateTime": link.due,
    }
    if behaviour.link_dates:
        found |= {name: utc_text(date) for name, date in dates.items() if date is not None}
    if behaviour.canvas_due_date and link.due is not None:
        found["$Canvas.assignment.dueAt.iso8601"] = utc_text(link.due)
    return found


def _history(name: str, ids: tuple[str, ...], known: bool, behaviour: Behaviour) -> dict[str, str]:
    """Ids separated by commas and URL-encoded, the latest first."""
    if not known or not (ids or behaviour.empty_history):
        return {}
    return {name: ",".join(quote(each, safe="") for each in ids)}
