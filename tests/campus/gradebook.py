"""The gradebook: line items and the scores that came in for them (AGS 2.0)."""

import functools
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from .course import Course, Link
from .errors import Refused
from .families import Behaviour
from .people import Person
from .registry import Registry
from .shapes import bad, read_object, utc_text
from .wire import LineItemFields, Score, read_line_item, read_score, review_json


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
    :param registry: says where the services are and how they behave.
    :param numbers: the numbers of new line items.
    """

    def __init__(self, course: Course, registry: Registry, numbers: Iterator[int]) -> None:
        self.course = course
        self._registry = registry
        self._numbers = numbers
        self._items: dict[str, LineItem] = {}
        self._scores: dict[tuple[str, str], list[Score]] = {}
        self._lock = threading.RLock()

    # Addresses

    @property
    def _base(self) -> str:
        return f"{self._registry.config.backchannel_url}/ags/{self.course.id}/lineitems"

    @property
    def _query(self) -> str:
        query = self._registry.config.behaviour.line_item_query
        return f"?{query}" if query else ""

    @property
    def items_url(self) -> str:
        """The address of the container of line items."""
        return f"{self._base}{self._query}"

    def item_url(self, item: LineItem) -> str:
        """The address of a line item."""
        return f"{self._base}/{item.id}/lineitem{self._query}"

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
        fields = LineItemFields(
            label=link.label or link.title,
            maximum=link.points,
            resource_id=link.resource_id,
            tag=link.tag,
            resource_link_id=link.id,
            start=utc_text(link.available_from) if link.available_from else "",
            end=utc_text(link.due) if link.due else "",
            review=link.review,
        )
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
        if fields.resource_link_id and self.course.link(fields.resource_link_id) is None:
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
            "submissionReview": review_json(fields.review) if fields.review else None,
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
        config = self._registry.config
        score = read_score(read_object(body), datetime.now(UTC), config.tool_origins)
        refuse = functools.partial(Refused, config.behaviour.not_gradable_status)
        person = self.course.by_sub(score.user_id)
        if person is None:
            raise refuse("unknown_user", f"userId '{score.user_id}' is nobody of this course")
        if person.teacher:
            raise refuse("not_gradable", f"{person.name} teaches this course and cannot be graded")
        if person not in self.course.learners:
            raise refuse("not_gradable", f"{person.name} is not active in this course and cannot be graded")
        with self._lock:
            history = self._scores.setdefault((item.id, score.user_id), [])
            if history:
                _check_order(history[-1].timestamp, score.timestamp, config.behaviour)
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

    def grade(self, item: LineItem, person: Person) -> Score | None:
        """The score that is somebody's grade now, or None."""
        behaviour, found = self._registry.config.behaviour, None
        for score in self.scores(item, person):
            preserved = score.submission is not None and score.submission.preserve_score
            if score.given is not None and score.grading_progress in behaviour.counting:
                found = score
            elif behaviour.progress_clears and not preserved:
                found = None
        return found

    def submission(self, item: LineItem, person: Person) -> str:
        """Where the tool shows what somebody submitted last (Canvas), empty if it did not say."""
        urls = (score.submission.url for score in reversed(self.scores(item, person)) if score.submission)
        return next((url for url in urls if url), "")

    def offers_review(self, item: LineItem) -> bool:
        """Whether campus sends people to the tool to look at what was handed in for a line item."""
        behaviour = self._registry.config.behaviour
        asked = item.fields.review is not None or not behaviour.review_on_request
        return behaviour.review_messages and asked

    def result_url(self, item: LineItem, person: Person) -> str:
        """The address of somebody's result."""
        return f"{self._base}/{item.id}/results/{person.sub}"

    def results(self, item: LineItem, user_id: str | None = None) -> list[dict[str, Any]]:
        """The results of a line item as the service shows them.

        A score without `scoreGiven` clears the one before, as most platforms do; a tool that reports progress
        on graded work takes the grade away.
        """
        found = []
        for person in self.course.learners:
            score = self.grade(item, person)
            if user_id not in (None, person.sub):
                continue
            result: dict[str, Any] = {"id": self.result_url(item, person), "userId": person.sub}
            if score is None or score.given is None or score.maximum is None:
                if self._registry.config.behaviour.ungraded_results and self.scores(item, person):
                    found.append(result)
                continue
            result |= {
                "scoreOf": self.item_url(item),
                "resultScore": score.given / score.maximum * item.fields.maximum,
                "resultMaximum": item.fields.maximum,
            }
            if score.comment:
                result["comment"] = score.comment
            found.append(result)
        return found


def _check_order(before: datetime, now: datetime, behaviour: Behaviour) -> None:
    """Ask that a score is later than the one before.

    :raises Refused: 409, or what the behaviour says.
    """
    if behaviour.whole_seconds:
        before, now = before.replace(microsecond=0), now.replace(microsecond=0)
    if now < before or (now == before and not behaviour.same_time):
        reason = (
            f"the timestamp {now.isoformat()} is not later than that of the score before"
            f" ({before.isoformat()})"
        )
        raise Refused(behaviour.conflict_status, "conflict", reason)
