"""Scores into the platform's gradebook (Assignment and Grade Services 2.0).

A *line item* is a column of the gradebook, a *score* what the tool says of one person in it. Media types are
exact, and ``/scores`` goes onto the line item's path, before a query that it may have.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from ipylti.errors import ServiceError
from ipylti.http import Answer, OutgoingHTTP, is_web_url
from ipylti.lti import claims, paging, services, strict_json
from ipylti.lti.parts import AgsEndpoint
from ipylti.lti.registrations import Quirks, Registration
from ipylti.lti.stores import Locks
from ipylti.lti.tokens import AccessTokens
from ipylti.lti.urls import with_path, with_query

ACTIVITY_PROGRESS = ("Initialized", "Started", "InProgress", "Submitted", "Completed")
GRADING_PROGRESS = ("FullyGraded", "Pending", "PendingManual", "Failed", "NotReady")

CANVAS_SUBMISSION = "https://canvas.instructure.com/lti/submission"

#: Seconds for one request; gradebooks can be slow.
TIMEOUT = 20.0

#: Member of a line item -> the parameter that filters by it (AGS 2.0, "Container request filters").
_FILTERS = {"resourceId": "resource_id", "tag": "tag", "resourceLinkId": "resource_link_id"}

#: Scopes that let line items be read.
_READING = (claims.SCOPE_LINE_ITEM, claims.SCOPE_LINE_ITEM_READ)

#: Line items of a page, where the platform may be told.
LIMIT = 100


@dataclass(frozen=True)
class Score:
    """What is said of one person (AGS 2.0, "Score publish service").

    :param user_id: the message's ``sub``.
    :param timestamp: strictly later, by a second at least, than the last one for this person and line
        item: see :func:`next_timestamp`.
    :param score_given: of ``score_maximum``; None to give none.
    :param submitted_at: when the person handed in, however late this is sent.
    :param canvas: members of Canvas' extension, None to leave it out.
    """

    user_id: str
    timestamp: datetime
    activity_progress: str
    grading_progress: str
    score_given: float | None = None
    score_maximum: float | None = None
    comment: str | None = None
    submitted_at: datetime | None = None
    canvas: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.activity_progress not in ACTIVITY_PROGRESS or self.grading_progress not in GRADING_PROGRESS:
            raise ValueError("not a progress")
        if self.score_given is not None:
            maximum = self.score_maximum or 0
            if not (maximum > 0 and math.isfinite(maximum) and math.isfinite(self.score_given)):
                raise ValueError("a score needs a maximum above 0")
            if self.score_given < 0:
                raise ValueError("a score is not negative")

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object to send."""
        content: dict[str, Any] = {
            "userId": self.user_id,
            "timestamp": rfc3339(self.timestamp),
            "activityProgress": self.activity_progress,
            "gradingProgress": self.grading_progress,
        }
        if self.score_given is not None:
            content |= {"scoreGiven": self.score_given, "scoreMaximum": self.score_maximum}
        if self.comment is not None:
            content["comment"] = self.comment
        if self.submitted_at is not None:
            content["submission"] = {"submittedAt": rfc3339(self.submitted_at)}
        if self.canvas is not None:
            content[CANVAS_SUBMISSION] = dict(self.canvas)
        return content


@dataclass(frozen=True)
class Result:
    """What stands in the gradebook for one person (AGS 2.0, "Result service").

    :param score: of ``maximum``, None where no grade stands.
    """

    user_id: str
    score: float | None
    maximum: float | None


def handed_in(
    user_id: str,
    submitted_at: datetime,
    timestamp: datetime,
    quirks: Quirks,
    submission_url: str | None = None,
) -> Score:
    """Return the score that says "handed in, not graded".

    It gives no points, and where a grade stands already it must not be sent: some platforms clear it.

    :param submission_url: a launch URL of ours that opens what was handed in; for Canvas, which shows it.
    """
    canvas: dict[str, Any] | None = None
    if quirks.canvas_submission:
        canvas = {
            "new_submission": True,
            "preserve_score": True,
            "prioritize_non_tool_grade": True,
            "submitted_at": rfc3339(submitted_at),
        }
        if submission_url is not None:
            canvas |= {"submission_type": "basic_lti_launch", "submission_data": submission_url}
    return Score(
        user_id=user_id,
        timestamp=timestamp,
        activity_progress=quirks.submit_progress,
        grading_progress="PendingManual",
        comment=_comment(submitted_at) if quirks.submission_comment else None,
        submitted_at=submitted_at,
        canvas=canvas,
    )


def _comment(submitted_at: datetime) -> str:
    """Return the words for people who see nothing else of a score without points."""
    return f"Handed in {submitted_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def next_timestamp(previous: datetime | None, now: datetime) -> datetime:
    """Return the timestamp for the next score of one person in one line item.

    :param previous: the last one that was sent. Platforms that count in seconds refuse one of the same.
    """
    return now if previous is None else max(now, previous + timedelta(seconds=1))


def rfc3339(moment: datetime) -> str:
    """Return an aware moment as RFC 3339 has it, in UTC and milliseconds."""
    if moment.tzinfo is None:
        raise ValueError("a moment without a zone")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Scores:
    """Finds line items and posts scores.

    All methods raise :class:`ipylti.errors.ServiceError`; its ``retry`` says whether a later try can help.

    :param locks: shared by all processes, so that two hand-ins at once make one line item. A lock has to
        last for a few requests of 20 s.
    """

    def __init__(self, http: OutgoingHTTP, tokens: AccessTokens, locks: Locks) -> None:
        self._http = http
        self._tokens = tokens
        self._locks = locks

    def find_or_create_line_item(
        self,
        registration: Registration,
        ags: AgsEndpoint,
        *,
        resource_link_id: str,
        resource_id: str,
        tag: str,
        label: str,
        maximum: float,
        blueprint: str | None = None,
        gone: str | None = None,
    ) -> str:
        """Return the URL of the line item for an assignment.

        It is the message's own, else the one with our ``resource_id`` and ``tag``, else the one that the
        platform made for the link when Deep Linking put it there, else a new one.

        :param resource_link_id: the platform's id of the link, to which a new line item is tied.
        :param resource_id: the assignment's id.
        :param tag: what the line item is for, where an assignment has several.
        :param blueprint: the ``resourceId`` that Deep Linking gave; all copies of the link have it, so it
            counts only together with the link.
        :param gone: a line item that was not found any more, so it is not the answer.
        :raises ServiceError: ``lineitem.not_offered``, ``lineitem.busy``, ``lineitem.answer``,
            ``service.paging``, or one of :mod:`ipylti.lti.services` and :meth:`AccessTokens.get`.
        """
        if ags.line_item is not None and ags.line_item != gone:
            return ags.line_item
        writable = claims.SCOPE_LINE_ITEM in ags.scopes
        scope = claims.SCOPE_LINE_ITEM if writable else claims.SCOPE_LINE_ITEM_READ
        if ags.line_items is None or scope not in ags.scopes:
            raise ServiceError("no line items for this launch", code="lineitem.not_offered", retry=False)
        with self._locks(f"lineitem:{registration.id}:{ags.line_items}:{resource_id}:{tag}") as held:
            if held is None:
                raise ServiceError("another job looks for it", code="lineitem.busy", retry=True)
            for wanted in _filters(resource_link_id, resource_id, tag, blueprint):
                found = self._found(registration, scope, ags.line_items, wanted, gone)
                if found is not None:
                    return found
            if not writable:
                raise ServiceError("line items may only be read", code="lineitem.not_offered", retry=False)
            item = {
                "scoreMaximum": maximum,
                "label": label,
                "resourceId": resource_id,
                "tag": tag,
                "resourceLinkId": resource_link_id,
            }
            return self._created(registration, ags.line_items, item)

    def has_line_item(self, registration: Registration, line_item: str, scopes: Collection[str]) -> bool:
        """Return whether a line item is there: "not found" can also be said of a person.

        :param scopes: those that the launch offered; without one for line items the answer is no.
        :raises ServiceError: one of :mod:`ipylti.lti.services` and :meth:`AccessTokens.get`.
        """
        scope = next((each for each in _READING if each in scopes), None)
        if scope is None:
            return False
        answer = self._tokens.authorized(
            "lineitem",
            registration,
            scope,
            lambda token: self._http.get_json(
                line_item, accept=claims.LINE_ITEM_TYPE, token=token, timeout=TIMEOUT
            ),
        )
        if answer.status in (404, 410):
            return False
        if answer.status != 200:
            raise services.refused("lineitem", answer)
        return True

    def post(self, registration: Registration, line_item: str, score: Score, scopes: Collection[str]) -> None:
        """Post a score.

        :param scopes: those that the launch offered.
        :raises ServiceError: ``score.not_offered``; ``lineitem.gone``, where another line item has to be
            found before the next try; or one of :mod:`ipylti.lti.services` and :meth:`AccessTokens.get`.
        """
        if claims.SCOPE_SCORE not in scopes:
            raise ServiceError("no scores for this launch", code="score.not_offered", retry=False)
        url = with_path(line_item, "/scores")
        answer = self._tokens.authorized(
            "score",
            registration,
            claims.SCOPE_SCORE,
            lambda token: self._http.post_json(
                url, score.as_json(), content_type=claims.SCORE_TYPE, token=token, timeout=TIMEOUT
            ),
        )
        if answer.status in (404, 410):
            raise ServiceError("no such line item", code="lineitem.gone", retry=True, status=answer.status)
        if not 200 <= answer.status < 300:
            raise services.refused("score", answer)

    def results(
        self,
        registration: Registration,
        line_item: str,
        scopes: Collection[str],
        user_id: str | None = None,
    ) -> Iterator[Result]:
        """Return what stands in a column of the gradebook, page by page (AGS 2.0, "Result service").

        :param scopes: those that the launch offered; without that for results there are none.
        :param user_id: whose; None for everybody's.
        :raises ServiceError: ``lineitem.gone``, ``result.answer``, ``service.paging``, or one of
            :mod:`ipylti.lti.services` and :meth:`AccessTokens.get`.
        """
        if claims.SCOPE_RESULT_READ not in scopes:
            return
        query = {"user_id": user_id} if user_id is not None else _limit(registration)
        url = with_query(with_path(line_item, "/results"), query)
        for answer in paging.pages(partial(self._results_page, registration), url):
            for told in _list(answer, "result.answer"):
                result = _result(told)
                # The filter is repeated here, since not every platform knows it.
                if result is not None and user_id in (None, result.user_id):
                    yield result

    def is_graded(
        self, registration: Registration, line_item: str, user_id: str, scopes: Collection[str]
    ) -> bool:
        """Return whether a grade stands for a person, as far as the launch lets us know.

        :raises ServiceError: see :meth:`results`.
        """
        found = self.results(registration, line_item, scopes, user_id)
        return any(result.score is not None for result in found)

    def _results_page(self, registration: Registration, address: str) -> Answer:
        answer = self._tokens.authorized(
            "result",
            registration,
            claims.SCOPE_RESULT_READ,
            lambda token: self._http.get_json(
                address, accept=claims.RESULTS_TYPE, token=token, timeout=TIMEOUT
            ),
        )
        if answer.status in (404, 410):
            raise ServiceError("no such line item", code="lineitem.gone", retry=True, status=answer.status)
        if answer.status != 200:
            raise services.refused("result", answer)
        return answer

    def _found(
        self, registration: Registration, scope: str, url: str, wanted: Mapping[str, str], gone: str | None
    ) -> str | None:
        """Look for the line item. The filters are repeated here, since not every platform knows them.

        :param wanted: member of a line item -> its value.
        """
        query = {_FILTERS[name]: value for name, value in wanted.items()} | _limit(registration)

        def page(address: str) -> Answer:
            answer = self._tokens.authorized(
                "lineitem",
                registration,
                scope,
                lambda token: self._http.get_json(
                    address, accept=claims.LINE_ITEMS_TYPE, token=token, timeout=TIMEOUT
                ),
            )
            if answer.status != 200:
                raise services.refused("lineitem", answer)
            return answer

        for answer in paging.pages(page, with_query(url, query)):
            for item in _list(answer):
                same = all(item.get(name) == value for name, value in wanted.items())
                if same and item.get("id") != gone:
                    return _address(item)
        return None

    def _created(self, registration: Registration, url: str, item: dict[str, Any]) -> str:
        """Make a line item; its id is the platform's to give."""
        answer = self._tokens.authorized(
            "lineitem",
            registration,
            claims.SCOPE_LINE_ITEM,
            lambda token: self._http.post_json(
                url,
                item,
                content_type=claims.LINE_ITEM_TYPE,
                accept=claims.LINE_ITEM_TYPE,
                token=token,
                timeout=TIMEOUT,
            ),
        )
        if not 200 <= answer.status < 300:
            raise services.refused("lineitem", answer)
        return _address(_parsed(answer))


def _filters(
    resource_link_id: str, resource_id: str, tag: str, blueprint: str | None
) -> Iterator[dict[str, str]]:
    """Return what to look for, one after the other."""
    yield {"resourceId": resource_id, "tag": tag}
    if blueprint is not None:
        yield {"resourceId": blueprint, "tag": tag, "resourceLinkId": resource_link_id}


def _limit(registration: Registration) -> dict[str, str]:
    """Return the query that asks for long pages, empty where the platform pages wrongly with it."""
    return {} if registration.quirks.no_ags_limit else {"limit": str(LIMIT)}


def _parsed(answer: Answer, code: str = "lineitem.answer") -> Any:
    try:
        return strict_json.loads(answer.body)
    except strict_json.NotJSON as err:
        raise _bad_answer(answer, code) from err


def _list(answer: Answer, code: str = "lineitem.answer") -> list[dict[str, Any]]:
    content = _parsed(answer, code)
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise _bad_answer(answer, code)
    return content


def _result(told: Mapping[str, Any]) -> Result | None:
    """Return what a platform tells of one person, None where it does not say of whom."""
    user_id = told.get("userId")
    if isinstance(user_id, bool) or not isinstance(user_id, str | int):
        return None
    return Result(str(user_id), _number(told.get("resultScore")), _number(told.get("resultMaximum")))


def _number(value: Any) -> float | None:
    """Return a number; one that can't be read is NaN, since something stands there."""
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _address(item: Any) -> str:
    """Return a line item's id, which is its URL."""
    address = item.get("id") if isinstance(item, dict) else None
    if not isinstance(address, str) or not is_web_url(address):
        raise ServiceError("a line item without an id", code="lineitem.answer", retry=False)
    return address


def _bad_answer(answer: Answer, code: str) -> ServiceError:
    return ServiceError("not a list of objects", code=code, retry=False, status=answer.status)
