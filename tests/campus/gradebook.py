"""The gradebook: line items and the scores that came in for them (AGS 2.0)."""

import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from .course import CONTEXT_ID, Course, Link, Person
from .errors import Refused
from .wire import LineItemFields, Score, bad, read_line_item, read_object, read_score

#: A line item's address has a query, as Moodle's has: a tool that appends to the whole address loses its way.
TYPE_ID = "7"


@dataclass(frozen=True)
class LineItem:
    """A column of the gradebook.

    :param fields: what a tool may say of it.
    :param coupled: whether campus made it together with a link.
    """

    id: str
    fields: LineItemFields
    coupled: bool


class Gradebook:
    """Line items and scores of one course; safe to use from several threads.

    :param course: whose people can be graded.
    :param base: the address of the services, without a slash at its end.
    """

    def __init__(self, course: Course, base: str) -> None:
        self._course = course
        self._base = base
        self._items: dict[str, LineItem] = {}
        self._scores: dict[tuple[str, str], list[Score]] = {}
        self._numbers = itertools.count(41)
        self._lock = threading.RLock()

    # Addresses

    @property
    def items_url(self) -> str:
        """The address of the container of line items."""
        return f"{self._base}/ags/{CONTEXT_ID}/lineitems?type_id={TYPE_ID}"

    def item_url(self, item: LineItem) -> str:
        """The address of a line item."""
        return f"{self._base}/ags/{CONTEXT_ID}/lineitems/{item.id}/lineitem?type_id={TYPE_ID}"

    # Line items

    @property
    def items(self) -> tuple[LineItem, ...]:
        """All line items in the order in which they were made."""
        with self._lock:
            return tuple(self._items.values())

    def item(self, item_id: str) -> LineItem:
        """A line item by its number.

        :raises Refused: 404.
        """
        with self._lock:
            found = self._items.get(item_id)
        if found is None:
            raise Refused(404, "not_found", f"there is no line item {item_id}")
        return found

    def items_of(self, link: Link) -> tuple[LineItem, ...]:
        """The line items of one link."""
        return tuple(item for item in self.items if item.fields.resource_link_id == link.id)

    def find(self, wanted: Mapping[str, str]) -> tuple[LineItem, ...]:
        """The line items that a query asks for, by `resource_link_id`, `resource_id` and `tag`."""
        return tuple(
            item
            for item in self.items
            if all(
                name not in wanted or getattr(item.fields, name) == wanted[name]
                for name in ("resource_link_id", "resource_id", "tag")
            )
        )

    def couple(self, link: Link) -> LineItem | None:
        """Make the column of a new link, if it is to have one."""
        if link.points is None:
            return None
        fields = LineItemFields(link.title, link.points, "", "", link.id, "", "")
        return self._add(fields, coupled=True)

    def create(self, body: bytes) -> LineItem:
        """Make a line item as a tool asks.

        :raises Refused: 400 for its shape, 404 for a link that does not exist.
        """
        fields = read_line_item(read_object(body))
        self._check_link(fields)
        return self._add(fields, coupled=False)

    def _add(self, fields: LineItemFields, coupled: bool) -> LineItem:
        with self._lock:
            item = LineItem(str(next(self._numbers)), fields, coupled)
            self._items[item.id] = item
        return item

    def update(self, item_id: str, body: bytes) -> LineItem:
        """Change a line item as a tool asks.

        :raises Refused: 400 for its shape or a changed link, 404 for one that does not exist.
        """
        with self._lock:
            item = self.item(item_id)
            fields = read_line_item(read_object(body), self.item_url(item))
            if fields.resource_link_id != item.fields.resource_link_id:
                raise bad("the resourceLinkId of a line item does not change")
            changed = replace(item, fields=fields)
            self._items[item_id] = changed
        return changed

    def delete(self, item_id: str) -> LineItem:
        """Remove a line item with its scores.

        :raises Refused: 404 for one that does not exist.
        """
        with self._lock:
            item = self.item(item_id)
            del self._items[item_id]
            self._scores = {key: kept for key, kept in self._scores.items() if key[0] != item_id}
        return item

    def _check_link(self, fields: LineItemFields) -> None:
        if fields.resource_link_id and self._course.link(fields.resource_link_id) is None:
            raise Refused(404, "not_found", f"there is no resource link {fields.resource_link_id}")

    def to_json(self, item: LineItem) -> dict[str, Any]:
        """A line item as the service shows it."""
        fields = item.fields
        optional = {
            "resourceId": fields.resource_id,
            "tag": fields.tag,
            "resourceLinkId": fields.resource_link_id,
            "startDateTime": fields.start,
            "endDateTime": fields.end,
        }
        return {
            "id": self.item_url(item),
            "label": fields.label,
            "scoreMaximum": fields.maximum,
            **{name: value for name, value in optional.items() if value},
        }

    # Scores and results

    def post(self, item_id: str, body: bytes) -> Score:
        """Take a score.

        :raises Refused: 400 for its shape, 404 for the line item, 409 for a timestamp that is not later than
            the last, 422 for somebody who cannot be graded here.
        """
        item = self.item(item_id)
        score = read_score(read_object(body), datetime.now(UTC))
        person = self._course.by_sub(score.user_id)
        if person is None:
            raise Refused(422, "unknown_user", f"userId '{score.user_id}' is nobody of this course")
        if person.teacher:
            raise Refused(422, "not_gradable", f"{person.name} teaches this course and cannot be graded")
        with self._lock:
            history = self._scores.setdefault((item.id, score.user_id), [])
            if history and score.timestamp <= history[-1].timestamp:
                raise Refused(
                    409,
                    "conflict",
                    f"the timestamp {score.timestamp.isoformat()} is not later than that of the score before"
                    f" ({history[-1].timestamp.isoformat()})",
                )
            history.append(score)
        return score

    def scores(self, item: LineItem, person: Person) -> tuple[Score, ...]:
        """Everything that came in for somebody in a column, oldest first."""
        with self._lock:
            return tuple(self._scores.get((item.id, person.sub), ()))

    def latest(self, item: LineItem, person: Person) -> Score | None:
        """What stands in the gradebook now."""
        history = self.scores(item, person)
        return history[-1] if history else None

    def results(self, item: LineItem, user_id: str | None = None) -> list[dict[str, Any]]:
        """The results of a line item as the service shows them.

        The last score is the result. One without `scoreGiven` clears it, as platforms do; a tool that reports
        progress on graded work takes the grade away.
        """
        found = []
        for person in self._course.learners:
            score = self.latest(item, person)
            if score is None or score.given is None or score.maximum is None:
                continue
            if user_id not in (None, person.sub):
                continue
            result: dict[str, Any] = {
                "id": f"{self._base}/ags/{CONTEXT_ID}/lineitems/{item.id}/results/{person.sub}",
                "scoreOf": self.item_url(item),
                "userId": person.sub,
                "resultScore": score.given / score.maximum * item.fields.maximum,
                "resultMaximum": item.fields.maximum,
            }
            if score.comment:
                result["comment"] = score.comment
            found.append(result)
        return found
