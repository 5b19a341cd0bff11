"""Small requests of the worker's own: does Jupyter answer, does Traefik route it, is anybody at work."""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import urllib3

#: Seconds that one look may take.
_TIMEOUT = urllib3.Timeout(connect=1.0, read=2.0)

#: Seconds for a connection on this machine to be taken or refused.
_REFUSED = 2.0

#: Seconds for tabs to save their documents: a little more than they give themselves.
_SAVING = urllib3.Timeout(connect=1.0, read=9.0)


@dataclass(frozen=True)
class Activity:
    """What Jupyter says of itself.

    :param last: when somebody last did something: a request, a kernel's message, a terminal's output.
    :param busy: whether a kernel computes at this moment.
    :param started: when the server was started.
    """

    last: datetime
    busy: bool
    started: datetime


@dataclass(frozen=True)
class Saved:
    """What became of the documents in a server's open tabs.

    :param tabs: how many tabs there are; ``silent`` of them did not answer in time.
    :param unsaved: paths of what could not be saved.
    """

    tabs: int
    silent: int
    unsaved: list[str]


class Probe:
    """Asks servers, by addresses that come from Podman or from the settings, never from a person."""

    def answers(self, url: str, *, host: str | None = None, cookie: str | None = None) -> bool:
        """Return whether Jupyter's version is to be had at a URL like ``http://127.0.0.1:1234/api``.

        :param host: the Host header, where the URL's own host is Traefik's address.
        :param cookie: the Cookie header.
        """
        answer = _parsed(_get(url, {"Host": host, "Cookie": cookie}))
        return isinstance(answer, dict) and "version" in answer

    def refuses(self, address: str) -> bool:
        """Return whether nobody listens at an address like ``http://127.0.0.1:1234``.

        Podman listens there from before a container counts as running until it ends. Where nobody does, what
        forwarded the port died with Podman, and nobody will ever reach that Jupyter again.
        """
        parts = urlsplit(address)
        try:
            with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=_REFUSED):
                return False
        except ConnectionRefusedError:
            return True
        except OSError:
            return False

    def alive(self, url: str, *, host: str) -> bool:
        """Return whether a URL answers with status 200."""
        return _get(url, {"Host": host}) is not None

    def save_all(self, address: str, token: str) -> Saved | None:
        """Have all open tabs of the JupyterLab at an address save their documents, and wait for it.

        :return: None where the image's extension is not there, or does not answer.
        """
        authorization = {"Authorization": f"token {token}"}
        told = _parsed(_ask("POST", f"{address}/ipylti/save-all", authorization, _SAVING))
        try:
            return Saved(int(told["tabs"]), int(told["silent"]), [str(path) for path in told["unsaved"]])
        except (TypeError, KeyError, ValueError):
            return None

    def activity(self, address: str, token: str) -> Activity | None:
        """Return what Jupyter at an address says of its activity, or None if it does not say.

        Asking is no activity itself (jupyter_server's REST API, ``no_track_activity``).
        """
        authorization = {"Authorization": f"token {token}"}
        status = _parsed(_get(f"{address}/api/status?no_track_activity=1", authorization))
        kernels = _parsed(_get(f"{address}/api/kernels?no_track_activity=1", authorization))
        try:
            busy = any(kernel["execution_state"] == "busy" for kernel in kernels)
            last, started = (datetime.fromisoformat(status[name]) for name in ("last_activity", "started"))
            return Activity(last, busy, started)
        except (TypeError, KeyError, ValueError):
            return None


def _get(url: str, headers: Mapping[str, str | None]) -> bytes | None:
    return _ask("GET", url, headers, _TIMEOUT)


def _ask(method: str, url: str, headers: Mapping[str, str | None], timeout: urllib3.Timeout) -> bytes | None:
    """Return the body of a good answer, or None."""
    parts = urlsplit(url)
    sent = {name: value for name, value in headers.items() if value}
    pool = _pool(f"{parts.scheme}://{parts.netloc}")
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    try:
        response = pool.request(method, path, headers=sent, timeout=timeout, redirect=False, retries=False)
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
        # Each request would warn of what is meant.
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        options |= {"cert_reqs": "CERT_NONE", "assert_hostname": False}
    return urllib3.connection_from_url(origin, **options)
