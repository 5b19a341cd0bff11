"""Labels: what Traefik is told, and that no value can say more than it should."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipylti.errors import SpawnerError
from ipylti.servers import labels
from ipylti.servers.spawner import ServerSpec, VolumeSpec

SPEC = ServerSpec(
    workspace="abc234",
    assignment="def567",
    kind="take",
    instance="0123456789ab",
    image="localhost/ipylti-notebook:latest",
    volume="ipylti-take-abc234",
    hostname="abc234.notebook.example.org",
    token="jupyters-own-token",
    tool_origin="https://tool.example.org",
    frame_ancestors=("https://tool.example.org", "https://lms.example.org:8443"),
)


def made(**changes):
    return labels.server_labels(dataclasses.replace(SPEC, **changes), entrypoint="web", tls=False)


def test_a_server_carries_all_that_traefik_and_the_reconciler_need():
    assert labels.server_labels(SPEC, entrypoint="websecure", tls=True) == {
        "io.ipylti.kind": "take",
        "io.ipylti.instance": "0123456789ab",
        "io.ipylti.assignment": "def567",
        "io.ipylti.workspace": "abc234",
        "traefik.enable": "true",
        "traefik.http.services.ipylti-abc234.loadbalancer.server.port": "8888",
        "traefik.http.routers.ipylti-abc234.rule": "Host(`abc234.notebook.example.org`)",
        "traefik.http.routers.ipylti-abc234.entrypoints": "websecure",
        "traefik.http.routers.ipylti-abc234.priority": "100",
        "traefik.http.routers.ipylti-abc234.service": "ipylti-abc234",
        "traefik.http.routers.ipylti-abc234.middlewares": "ipylti-gate@file,ipylti-abc234",
        "traefik.http.routers.ipylti-abc234.tls": "true",
        "traefik.http.middlewares.ipylti-abc234.headers.contentSecurityPolicy": (
            "frame-ancestors 'self' https://tool.example.org https://lms.example.org:8443"
        ),
        "traefik.http.routers.ipylti-abc234-files.rule": (
            "Host(`abc234.notebook.example.org`) && (PathPrefix(`/files/`) || PathPrefix(`/nbconvert/`))"
        ),
        "traefik.http.routers.ipylti-abc234-files.entrypoints": "websecure",
        "traefik.http.routers.ipylti-abc234-files.priority": "101",
        "traefik.http.routers.ipylti-abc234-files.service": "ipylti-abc234",
        "traefik.http.routers.ipylti-abc234-files.middlewares": "ipylti-gate@file,ipylti-abc234-files",
        "traefik.http.routers.ipylti-abc234-files.tls": "true",
        "traefik.http.middlewares.ipylti-abc234-files.headers.contentSecurityPolicy": (
            "frame-ancestors 'self' https://tool.example.org https://lms.example.org:8443; "
            "sandbox allow-scripts"
        ),
    }


def test_without_tls_no_router_asks_for_it():
    assert not [key for key in made() if key.endswith(".tls")]


def test_every_router_stands_behind_the_gate():
    middlewares = [value for key, value in made().items() if key.endswith(".middlewares")]
    assert middlewares
    assert all(value.startswith("ipylti-gate@file,") for value in middlewares)


def test_no_label_holds_jupyters_token():
    assert not [value for value in made().values() if SPEC.token in value]


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        (
            VolumeSpec("ipylti-take-w", "take", "i", "a", "w"),
            {
                "io.ipylti.kind": "take",
                "io.ipylti.instance": "i",
                "io.ipylti.assignment": "a",
                "io.ipylti.workspace": "w",
            },
        ),
        (
            VolumeSpec("ipylti-base-a", "base", "i", "a"),
            {"io.ipylti.kind": "base", "io.ipylti.instance": "i", "io.ipylti.assignment": "a"},
        ),
    ],
)
def test_a_volume_says_whose_it_is(volume, expected):
    assert labels.volume_labels(volume) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc.notebook.localhost", "abc.notebook.localhost"),
        ("ABC.Notebook.Example.ORG", "abc.notebook.example.org"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_host_names_are_taken(text, expected):
    assert labels.hostname(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a`) || Host(`b",
        "a.example || PathPrefix(`/`)",
        "a b",
        "a.example\n",
        "a..b",
        "-a.example",
        "a-.example",
        "a.example.",
        "a_b.example",
        "*.example",
        "bücher.example",
        "a" * 64 + ".example",
        ".".join(["a" * 60] * 5),
        "a.example:8000",
        "a.example/",
    ],
)
def test_anything_else_is_no_host_name(text):
    with pytest.raises(SpawnerError) as caught:
        made(hostname=text)
    assert caught.value.code == "server.bad_spec"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://lms.example.org", "https://lms.example.org"),
        ("HTTPS://LMS.Example.ORG:8443", "https://lms.example.org:8443"),
        ("http://campus.localhost:8001", "http://campus.localhost:8001"),
        ("http://127.0.0.1:8001", "http://127.0.0.1:8001"),
        ("http://[::1]:8001", "http://[::1]:8001"),
    ],
)
def test_origins_are_taken(text, expected):
    assert labels.origin(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "'none'",
        "null",
        "https:",
        "https://",
        "https://*.example.org",
        "https://a.example; script-src *",
        "https://a.example https://b.example",
        "https://a.example,https://b.example",
        "https://a.example\r\nSet-Cookie: a=b",
        "https://a.example\n",
        "https://a.example/",
        "https://user@a.example",
        "https://a.example:0",
        "https://a.example:65536",
        "https://a.example:٨",
        "https://[::g]",
        "https://[::1",
        "https://a..example",
        "ftp://a.example",
        "javascript:alert(1)",
        "data:text/html,x",
    ],
)
def test_anything_else_is_no_origin(text):
    with pytest.raises(SpawnerError):
        made(frame_ancestors=(text,))


def test_an_origin_given_twice_stands_once():
    assert labels.frame_policy(("https://a.example", "HTTPS://A.example")) == (
        "frame-ancestors 'self' https://a.example"
    )


@pytest.mark.parametrize("field", ["workspace", "assignment", "kind", "instance"])
@pytest.mark.parametrize("text", ["", "a b", "a`b", "a=b", "a,b", "a\n", "ä", "-a", "a" * 200])
def test_names_that_could_mean_more_are_refused(field, text):
    with pytest.raises(SpawnerError):
        made(**{field: text})


@pytest.mark.parametrize("text", ["a.b", "a.middlewares", "A"])
def test_a_workspace_is_one_dns_label_since_it_stands_in_label_names(text):
    with pytest.raises(SpawnerError):
        made(workspace=text)


def test_an_entry_point_is_a_plain_name():
    with pytest.raises(SpawnerError):
        labels.server_labels(SPEC, entrypoint="web,traefik", tls=False)


@given(st.text())
def test_no_text_at_all_gets_out_of_its_place(text):
    for check, forbidden in ((labels.hostname, "`() |&\"'\n\r\t"), (labels.origin, "; ,'\"*\n\r\t")):
        try:
            taken = check(text)
        except SpawnerError:
            continue
        assert taken.isascii()
        assert not set(taken) & set(forbidden)
