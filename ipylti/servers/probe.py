"""Small requests of the worker's own: does Jupyter answer, does Traefik route it."""

import json
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import urllib3

#: Seconds that one look may take.
_TIMEOUT = urllib3.Timeout(connect=1.0, read=2.0)


class Probe:
    """Asks servers, by addresses that come from Podman or from the settings, never from a person."""

    def answers(self, url: str, *, host: str | None = None, cookie: str | None = None) -> bool:
        """Return whether Jupyter's version is to be had at a URL like ``http://127.0.0.1:1234/api``.

        :param host: the Host header, where the URL's own host is Traefik's address.
        :param cookie: the Cookie header.
        """
        try:
            answer = json.loads(_get(url, host, cookie) or b"")
        except ValueError:
            return False
        return isinstance(answer, dict) and "version" in answer

    def alive(self, url: str, *, host: str) -> bool:
        """Return whether a URL answers with status 200."""
        return _get(url, host, None) is not None


def _get(url: str, host: str | None, cookie: str | None) -> bytes | None:
    """Return the body of a good answer, or None."""
    parts = urlsplit(url)
    headers = {name: value for name, value in (("Host", host), ("Cookie", cookie)) if value}
    pool = _pool(f"{parts.scheme}://{parts.netloc}")
    try:
        response = pool.request("GET", parts.path, headers=headers, redirect=False, retries=False)
    except urllib3.exceptions.HTTPError:
        return None
    return bytes(response.data) if response.status == 200 else None


@lru_cache(maxsize=64)
def _pool(origin: str) -> Any:
    """Return a connection pool; Traefik's certificate names the notebook host, not this address."""
    options: dict[str, Any] = {"timeout": _TIMEOUT, "maxsize": 4}
    if origin.startswith("https:"):
        options |= {"cert_reqs": "CERT_NONE", "assert_hostname": False}
    return urllib3.connection_from_url(origin, **options)
