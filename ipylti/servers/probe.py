"""Small requests of the worker's own: does Jupyter answer, does Traefik route it, is anybody at work."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import urllib3

#: Seconds that one look may take.
_TIMEOUT = urllib3.Timeout(connect=1.0, read=2.0)


@dataclass(frozen=True)
class Activity:
    """What Jupyter says of itself.

    :param last: when somebody last did something: a request, a kernel's message, a terminal's output.
    :param busy: whether a kernel computes at this moment.
    """

    last: datetime
    busy: bool


class Probe:
    """Asks servers, by addresses that come from Podman or from the settings, never from a person."""

    def answers(self, url: str, *, host: str | None = None, cookie: str | None = None) -> bool:
        """Return whether Jupyter's version is to be had at a URL like ``http://127.0.0.1:1234/api``.

        :param host: the Host header, where the URL's own host is Traefik's address.
        :param cookie: the Cookie header.
        """
        answer = _parsed(_get(url, {"Host": host, "Cookie": cookie}))
        return isinstance(answer, dict) and "version" in answer

    def alive(self, url: str, *, host: str) -> bool:
        """Return whether a URL answers with status 200."""
        return _get(url, {"Host": host}) is not None

    def activity(self, address: str, token: str) -> Activity | None:
        """Return what Jupyter at an address says of its activity, or None if it does not say.

        Asking is no activity itself (jupyter_server's REST API, ``no_track_activity``).
        """
        authorization = {"Authorization": f"token {token}"}
        status = _parsed(_get(f"{address}/api/status?no_track_activity=1", authorization))
        kernels = _parsed(_get(f"{address}/api/kernels?no_track_activity=1", authorization))
        try:
            last = datetime.fromisoformat(status["last_activity"])
            return Activity(last, any(kernel["execution_state"] == "busy" for kernel in kernels))
        except (TypeError, KeyError, ValueError):
            return None


def _get(url: str, headers: Mapping[str, str | None]) -> bytes | None:
    """Return the body of a good answer, or None."""
    parts = urlsplit(url)
    sent = {name: value for name, value in headers.items() if value}
    pool = _pool(f"{parts.scheme}://{parts.netloc}")
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    try:
        response = pool.request("GET", path, headers=sent, redirect=False, retries=False)
    except urllib3.exceptions.HTTPError:
        return None
    return bytes(response.data) if response.status == 200 else None


def _parsed(body: bytes | None) -> Any:
    try:
        return json.loads(body or b"null")
    except ValueError:
        return None


@lru_cache(maxsize=64)
def _pool(origin: str) -> Any:
    """Return a connection pool; Traefik's certificate names the notebook host, not this address."""
    options: dict[str, Any] = {"timeout": _TIMEOUT, "maxsize": 4}
    if origin.startswith("https:"):
        options |= {"cert_reqs": "CERT_NONE", "assert_hostname": False}
    return urllib3.connection_from_url(origin, **options)
