"""The spawner against an engine that answers what a real one rarely does."""

import io
from unittest.mock import create_autospec

import pytest
import requests

from ipylti.errors import DependencyDown, ImageMissing, SettingsError, SpawnerError
from ipylti.servers import containers, podman
from ipylti.servers.podman import Engine, PodmanSpawner
from ipylti.servers.spawner import ServerState
from tests.unit.servers.test_isolation import SPEC
from tests.unit.servers.test_listing import inspected, listed

SERVER = "/containers/ipylti-server-abc234/json"
INFO = {"host": {"cgroupControllers": [], "security": {"rootless": True}}}


def answer(status, body=None):
    """Return an answer of the engine's."""
    response = create_autospec(requests.Response, instance=True, spec_set=False)
    response.status_code = status
    response.json.return_value = body
    return response


def said(status, words):
    return answer(status, {"message": words})


def found(state, fingerprint="", **more):
    return answer(200, {"Id": "c1"} | inspected(state, labels={"io.ipylti.spec": fingerprint}, **more))


@pytest.fixture
def engine(monkeypatch):
    """An engine whose answers a test sets, by method and path; each of a list once, the last for ever."""
    monkeypatch.setattr(containers, "WAITS", (0.0,) * 4)
    script = {("get", "/info"): [answer(200, INFO)]}
    asked = []

    def ask(method, path, *, expect, **options):
        asked.append((method, path))
        answers = script[method, path]
        given = answers.pop(0) if len(answers) > 1 else answers[0]
        assert given.status_code in expect
        return given

    double = create_autospec(Engine, instance=True)
    double.ask.side_effect = ask
    double.script, double.asked = script, asked
    return double


@pytest.fixture
def spawner(engine):
    made = PodmanSpawner("unix:///nowhere/podman.sock")
    made.engine = made.containers.engine = made.networks.engine = engine
    return made


def test_a_port_that_somebody_took_meanwhile_is_replaced_by_another(spawner, engine):
    engine.script |= {
        ("get", SERVER): [answer(404), answer(404), found("running")],
        ("post", "/containers/create"): [answer(201, {"Id": "c1"})],
        ("post", "/containers/c1/start"): [said(500, "bind: address already in use"), answer(204)],
        ("get", "/containers/c1/json"): [found("created")],
        ("delete", "/containers/c1"): [answer(200)],
    }
    assert spawner.start(SPEC).state is ServerState.RUNNING
    assert engine.asked.count(("post", "/containers/create")) == 2


def test_a_container_that_can_not_be_started_is_not_left_behind(spawner, engine):
    engine.script |= {
        ("get", SERVER): [answer(404)],
        ("post", "/containers/create"): [answer(201, {"Id": "c1"})],
        ("post", "/containers/c1/start"): [said(500, "OCI runtime error: no")],
        ("get", "/containers/c1/json"): [found("created")],
        ("delete", "/containers/c1"): [answer(200)],
    }
    with pytest.raises(SpawnerError, match="OCI runtime error"):
        spawner.start(SPEC)
    assert engine.asked[-1] == ("delete", "/containers/c1")


@pytest.mark.parametrize("conflict", [409, 500])
def test_who_loses_the_race_for_the_name_takes_what_the_other_made(spawner, engine, conflict):
    engine.script |= {
        ("get", SERVER): [answer(404), found("running")],
        ("post", "/containers/create"): [said(conflict, 'the container name "x" is already in use by c1')],
    }
    assert spawner.start(SPEC).state is ServerState.RUNNING


def test_a_container_that_somebody_removes_before_it_starts_is_made_again(spawner, engine):
    engine.script |= {
        ("get", SERVER): [answer(404), answer(404), found("running")],
        ("post", "/containers/create"): [answer(201, {"Id": "c1"})],
        ("post", "/containers/c1/start"): [answer(404), answer(204)],
    }
    assert spawner.start(SPEC).state is ServerState.RUNNING


def test_a_server_that_others_keep_removing_is_given_up(spawner, engine):
    engine.script |= {
        ("get", SERVER): [answer(404)],
        ("post", "/containers/create"): [answer(201, {"Id": "c1"})],
        ("post", "/containers/c1/start"): [answer(404)],
    }
    with pytest.raises(SpawnerError) as caught:
        spawner.start(SPEC)
    assert caught.value.code == "server.contested"


@pytest.mark.parametrize(
    ("status", "words"), [(500, "localhost/x: image not known"), (404, "no such image: localhost/x")]
)
def test_a_missing_image_is_known_in_the_words_of_old_and_new_engines(spawner, engine, status, words):
    engine.script |= {("get", SERVER): [answer(404)], ("post", "/containers/create"): [said(status, words)]}
    with pytest.raises(ImageMissing):
        spawner.start(SPEC)


def test_other_refusals_keep_the_engines_words(spawner, engine):
    engine.script |= {("get", SERVER): [answer(404)], ("post", "/containers/create"): [said(500, "no space")]}
    with pytest.raises(SpawnerError, match="no space") as caught:
        spawner.start(SPEC)
    assert SPEC.token not in caught.value.detail


def test_an_engine_that_runs_as_root_is_refused(spawner, engine):
    info = {"host": {"cgroupControllers": ["memory"], "security": {"rootless": False}}}
    engine.script |= {("get", "/info"): [answer(200, info)]}
    with pytest.raises(SpawnerError) as caught:
        spawner.start(SPEC)
    assert caught.value.code == "server.rootful"


def test_the_list_is_looked_at_closer_only_where_memory_may_have_run_out(spawner, engine):
    entries = [
        listed("running") | {"Id": "c1"},
        listed("exited", ExitCode=1) | {"Id": "c2"},
        listed("exited", ExitCode=137) | {"Id": "c3"},
        listed("exited", ExitCode=137) | {"Id": "c4"},
        listed("exited", ExitCode=137) | {"Id": "c5"},
        listed("exited", Labels={"io.ipylti.kind": "copy"}) | {"Id": "c6"},
    ]
    engine.script |= {
        ("get", "/containers/json"): [answer(200, entries)],
        ("get", "/containers/c3/json"): [found("exited", OOMKilled=True)],
        ("get", "/containers/c4/json"): [answer(404)],
        # Found by its name, and removed before it was read.
        ("get", "/containers/c5/json"): [said(500, "container c5 does not exist: no such container")],
    }
    assert [status.out_of_memory for status in spawner.servers("i")] == [False, False, True, False, False]
    assert len(engine.asked) == 4


def test_a_container_that_cannot_be_looked_at_is_not_taken_for_none(spawner, engine):
    engine.script |= {("get", SERVER): [said(500, "database is locked")]}
    with pytest.raises(SpawnerError, match="database is locked"):
        spawner.status(SPEC.workspace)


def test_an_engine_without_anything_answers_null(spawner, engine):
    engine.script |= {("get", "/containers/json"): [answer(200)], ("get", "/volumes/json"): [answer(200)]}
    assert spawner.servers("i") == []
    assert spawner.volumes("i") == []


def test_lines_are_put_together_from_frames():
    frames = [(1, b"one\ntw"), (2, b""), (1, b"o\nthree"), (1, b"\nrest")]
    raw = b"".join(bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text for stream, text in frames)
    response = create_autospec(requests.Response, instance=True)
    response.raw = io.BytesIO(raw)
    assert list(podman.printed(response)) == [b"one", b"two", b"three", b"rest"]


def test_a_stream_that_breaks_is_the_engine_being_down():
    response = create_autospec(requests.Response, instance=True)
    response.raw = create_autospec(io.BytesIO, instance=True)
    response.raw.read.side_effect = ConnectionResetError("reset")
    with pytest.raises(DependencyDown):
        list(podman.printed(response))


@pytest.mark.parametrize("url", ["", "podman.sock", "ftp://host/"])
def test_an_address_that_is_none_is_a_settings_error(url):
    with pytest.raises(SettingsError, match="podman_url"):
        PodmanSpawner(url)


def test_a_socket_that_is_not_there_is_the_engine_being_down(tmp_path):
    with pytest.raises(DependencyDown) as caught:
        PodmanSpawner(f"unix://{tmp_path}/podman.sock").ping()
    assert caught.value.part == "podman"
