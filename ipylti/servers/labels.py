"""The labels of volumes and containers: what ipylti finds its own things by, and what Traefik routes by.

Pure functions. Every value that reaches a label is checked against a narrow pattern first: a label is Traefik
configuration, so a back quote in a host name would be a rule of somebody's making, and a semicolon in an
origin another Content-Security-Policy.
"""

import ipaddress
import re

from ipylti.errors import SpawnerError
from ipylti.servers.spawner import ServerSpec, VolumeSpec

KIND = "io.ipylti.kind"
INSTANCE = "io.ipylti.instance"
ASSIGNMENT = "io.ipylti.assignment"
WORKSPACE = "io.ipylti.workspace"
ABOUT = "io.ipylti.about"

#: Set by an image that carries the project's JupyterLab extension; Podman hands it on to the containers.
EXTENSION = "io.ipylti.extension"

#: The kind of the short-lived container that copies one volume to another.
COPY_KIND = "copy"

#: The kind of the short-lived container that measures volumes.
MEASURE_KIND = "measure"

#: The kinds of containers that are no servers.
HELPERS = frozenset({COPY_KIND, MEASURE_KIND})

#: Where Jupyter listens in the container.
JUPYTER_PORT = 8888

#: Above the catch-all router and below that of ``/_ipylti/``, both in Traefik's file configuration.
PRIORITY = 100

#: The ForwardAuth middleware, defined in Traefik's file configuration.
GATE = "ipylti-gate@file"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_ABOUT = re.compile(r"[A-Za-z0-9_=-]{1,8192}")
_DNS_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_WORKSPACE = re.compile(_DNS_LABEL)
_HOSTNAME = re.compile(rf"(?=.{{1,253}}\Z){_DNS_LABEL}(?:\.{_DNS_LABEL})*")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")

#: Paths below which Jupyter hands out people's own files, HTML too, which it therefore puts into a sandbox.
_FILES = ("/files/", "/nbconvert/")


def volume_labels(spec: VolumeSpec) -> dict[str, str]:
    """Return the labels of a volume: enough to rebuild what the database knew of it."""
    return {
        KIND: name("kind", spec.kind),
        INSTANCE: name("instance", spec.instance),
        ASSIGNMENT: name("assignment", spec.assignment),
        **({WORKSPACE: name("workspace", spec.workspace)} if spec.workspace else {}),
        **({ABOUT: _about(spec.about)} if spec.about else {}),
    }


def server_labels(spec: ServerSpec, *, entrypoint: str, tls: bool) -> dict[str, str]:
    """Return the labels of a server's container.

    Traefik's answer headers replace Jupyter's Content-Security-Policy as a whole: its ``frame-ancestors
    'self'`` would keep the notebook out of the tool's frame. The ``sandbox`` with which Jupyter confines the
    scripts of people's own HTML files (jupyter_server, ``FilesHandler.content_security_policy``) is put back
    by a second router.

    :param entrypoint: the name of Traefik's entry point for notebook hosts.
    :param tls: whether that entry point speaks TLS.
    :raises SpawnerError: (``server.bad_spec``) a value that can't stand in a label.
    """
    if not _WORKSPACE.fullmatch(spec.workspace):
        raise _bad("workspace", spec.workspace)
    router = f"ipylti-{spec.workspace}"
    host = f"Host(`{hostname(spec.hostname)}`)"
    files = " || ".join(f"PathPrefix(`{path}`)" for path in _FILES)
    policy = frame_policy(spec.frame_ancestors)
    return {
        KIND: name("kind", spec.kind),
        INSTANCE: name("instance", spec.instance),
        ASSIGNMENT: name("assignment", spec.assignment),
        WORKSPACE: spec.workspace,
        "traefik.enable": "true",
        f"traefik.http.services.{router}.loadbalancer.server.port": str(JUPYTER_PORT),
        **_router(router, host, PRIORITY, router, policy, entrypoint, tls),
        **_router(
            f"{router}-files",
            f"{host} && ({files})",
            PRIORITY + 1,
            router,
            f"{policy}; sandbox allow-scripts",
            entrypoint,
            tls,
        ),
    }


def _router(
    router: str, rule: str, priority: int, service: str, policy: str, entrypoint: str, tls: bool
) -> dict[str, str]:
    """Return one router behind the gate, with the headers middleware that sets its policy."""
    labels = {
        f"traefik.http.routers.{router}.rule": rule,
        f"traefik.http.routers.{router}.entrypoints": name("entrypoint", entrypoint),
        f"traefik.http.routers.{router}.priority": str(priority),
        f"traefik.http.routers.{router}.service": service,
        f"traefik.http.routers.{router}.middlewares": f"{GATE},{router}",
        f"traefik.http.middlewares.{router}.headers.contentSecurityPolicy": policy,
    }
    if tls:
        labels[f"traefik.http.routers.{router}.tls"] = "true"
    return labels


def frame_policy(origins: tuple[str, ...]) -> str:
    """Return the policy that lets these origins frame the notebook (CSP Level 3, 6.4.2), and itself.

    Every ancestor of a frame counts, also a page of the notebook's that frames another, hence ``'self'``.
    """
    return " ".join(["frame-ancestors 'self'", *dict.fromkeys(origin(text) for text in origins)])


def hostname(text: str) -> str:
    """Return a host name in lower case that is safe within a rule, or raise SpawnerError."""
    lowered = text.lower()
    if not _HOSTNAME.fullmatch(lowered):
        raise _bad("host name", text)
    return lowered


def origin(text: str) -> str:
    """Return an origin (scheme, host, perhaps a port; RFC 6454) in lower case, or raise SpawnerError."""
    lowered = text.lower()
    match = _ORIGIN.fullmatch(lowered)
    if not match:
        raise _bad("origin", text)
    host, port = match["host"], match["port"]
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError as err:
            raise _bad("origin", text) from err
    else:
        hostname(host)
    if port is not None and not 0 < int(port) < 65536:
        raise _bad("origin", text)
    return lowered


def _about(text: str) -> str:
    if not _ABOUT.fullmatch(text):
        raise _bad("about", text)
    return text


def name(what: str, text: str) -> str:
    """Return a short plain name as it is, or raise SpawnerError that says what it should have been."""
    if not _NAME.fullmatch(text):
        raise _bad(what, text)
    return text


def _bad(what: str, text: str) -> SpawnerError:
    return SpawnerError(f"not a usable {what}: {text[:100]!r}", code="server.bad_spec")
