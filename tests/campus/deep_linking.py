"""Answers to deep linking requests: JWTs of the tool's, checked claim by claim (Deep Linking 2.0)."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .content_items import read_items
from .course import Course, Link
from .courses import Courses
from .errors import Refused
from .messages import dl, lti
from .registry import Registry
from .selections import Selection, Selections
from .shapes import Fields, bad
from .tool_keys import ToolKeys

CLOCK_SKEW = 5
LONGEST_LIFE = 3600
#: Texts for people and for logs that an answer may have.
TEXTS = ("msg", "log", "errormsg", "errorlog")


@dataclass(frozen=True)
class Answer:
    """What came of a request.

    :param links: the links that are in the course now; none if the person cancelled.
    :param texts: what the tool says, by the names of :data:`TEXTS`.
    """

    course: Course
    links: tuple[Link, ...]
    texts: Mapping[str, str]


class Answers:
    """Takes answers; safe to use from several threads."""

    def __init__(
        self, registry: Registry, courses: Courses, selections: Selections, tool_keys: ToolKeys
    ) -> None:
        self._registry = registry
        self._courses = courses
        self._selections = selections
        self._tool_keys = tool_keys
        self._nonces: set[str] = set()
        self._lock = threading.Lock()

    def take(self, token: str, selection_id: str | None = None) -> Answer:
        """Check an answer and put what it brings into the course.

        :param token: the `JWT` of the form.
        :param selection_id: what the query of the return address says, None where nobody looked.
        :raises Refused: 400. The request stays open then.
        """
        claims = self._tool_keys.verify(token, "the answer", bad)
        self._check_envelope(claims)
        fields = Fields(claims)
        selection = self._selection(claims, selection_id)
        settings = selection.settings
        items = fields.objects(dl("content_items"))
        if len(items) > 1 and not settings.accept_multiple:
            raise bad(f"{len(items)} content items, where one was asked for")
        texts = {name: fields.text(dl(name)) for name in TEXTS if dl(name) in claims}
        origins = self._registry.config.tool_origins
        links = read_items(items, settings.accept_types, settings.accept_line_item, origins)
        self._spend_nonce(fields.text("nonce", required=True))
        if not self._selections.close(selection):
            raise bad("this request was answered before")
        for link in links:
            self._courses.add_link(link, selection.course)
        return Answer(selection.course, links, texts)

    def _check_envelope(self, claims: Mapping[str, Any]) -> None:
        """Who says it to whom, and when (Security Framework 1.0, "Tool-originating messages")."""
        config = self._registry.config
        if claims.get("iss") != config.client_id:
            raise bad(f"iss is not the client id but {claims.get('iss')!r}")
        self._check_audience(claims)
        for name, value in (
            ("version", "1.3.0"),
            ("message_type", "LtiDeepLinkingResponse"),
            ("deployment_id", config.deployment_id),
        ):
            if claims.get(lti(name)) != value:
                raise bad(f"{name} is not '{value}' but {claims.get(lti(name))!r}")
        now = time.time()
        for name in ("iat", "exp"):
            if isinstance(claims.get(name), bool) or not isinstance(claims.get(name), int):
                raise bad(f"{name} is missing or not an integer")
        behind = config.behaviour.behind
        if claims["iat"] > (now - behind if behind else now + CLOCK_SKEW):
            raise bad("the answer was made in the future: iat")
        if claims["exp"] <= now - CLOCK_SKEW:
            raise bad("the answer has expired: exp")
        if not 0 < claims["exp"] - claims["iat"] <= LONGEST_LIFE:
            raise bad(f"from iat to exp it is more than {LONGEST_LIFE} seconds, or none")

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        issuer, audience = self._registry.config.issuer, claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if issuer not in audiences:
            raise bad(f"aud is not {issuer} but {audience!r}")
        if claims.get("azp", issuer if len(audiences) == 1 else None) != issuer:
            raise bad(f"azp is not {issuer} but {claims.get('azp')!r}")

    def _selection(self, claims: Mapping[str, Any], selection_id: str | None) -> Selection:
        """The request that is answered: the one of its `data`, which the return address must agree with."""
        data = claims.get(dl("data"))
        found = self._selections.by_data(data)
        named = None if selection_id is None else self._selections.find(selection_id)
        if selection_id is not None and named is None:
            raise bad("the query of the return address is not as campus gave it, or was used before")
        if named is not None and named.data != data:
            raise bad("data is not what the request of this return address had")
        selection = named or found
        if selection is None:
            raise bad("data is not what a request had that is still open")
        return selection

    def _spend_nonce(self, nonce: str) -> None:
        with self._lock:
            if nonce in self._nonces:
                raise Refused(400, "invalid_request", "the nonce was used before")
            self._nonces.add(nonce)
