"""A platform's services in memory: a token endpoint, line items and scores, behind an OutgoingHTTP."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import create_autospec
from urllib.parse import parse_qs, urlsplit

from ipylti.http import Answer, OutgoingHTTP


@dataclass
class Request:
    """One request as it went out."""

    method: str
    url: str
    headers: dict[str, Any]
    content: Any = None

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.url).query, keep_blank_values=True)


def answer(content: object = None, status: int = 200, **headers: str) -> Answer:
    """Return an answer with a JSON body."""
    body = b"" if content is None else json.dumps(content).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@dataclass
class Services:
    """Answers by path, out of functions; and what was asked.

    :param tokens: the answers of the token endpoint, the last one repeated.
    :param gets: what to answer to GET, by path.
    :param posts: what to answer to POST, by path.
    """

    tokens: list[Answer] = field(
        default_factory=lambda: [answer({"access_token": "t1", "token_type": "Bearer", "expires_in": 3600})]
    )
    gets: dict[str, Callable[[Request], Answer]] = field(default_factory=dict)
    posts: dict[str, Callable[[Request], Answer]] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)

    @property
    def http(self) -> OutgoingHTTP:
        http = create_autospec(OutgoingHTTP, instance=True)
        http.get_json.side_effect = self._get
        http.post_form.side_effect = self._form
        http.post_json.side_effect = self._post
        return http

    def named(self, path: str) -> list[Request]:
        """Return the requests to a path."""
        return [each for each in self.asked if urlsplit(each.url).path == path]

    def _form(self, url: str, fields: dict[str, str], **headers: Any) -> Answer:
        self.asked.append(Request("POST", url, headers, fields))
        return self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]

    def _get(self, url: str, **headers: Any) -> Answer:
        request = Request("GET", url, headers)
        self.asked.append(request)
        return self.gets[urlsplit(url).path](request)

    def _post(self, url: str, content: Any, **headers: Any) -> Answer:
        request = Request("POST", url, headers, json.loads(json.dumps(content)))
        self.asked.append(request)
        return self.posts[urlsplit(url).path](request)
