"""What Podman says, as the domain reads it."""

from datetime import UTC, datetime

import pytest

from ipylti.servers import listing
from ipylti.servers.spawner import ServerState, ServerStatus, VolumeSpec

LABELS = {"io.ipylti.workspace": "w", "io.ipylti.kind": "take"}
STARTED = datetime(2026, 11, 22, 23, 6, 41, tzinfo=UTC)


def listed(state, **more):
    """An entry as Podman 4.3 and 5 list it."""
    port = {"host_ip": "127.0.0.1", "container_port": 8888, "host_port": 46031, "range": 1, "protocol": "tcp"}
    entry = {"Labels": LABELS, "State": state, "StartedAt": 1795388801, "ExitCode": 0, "Ports": [port]}
    return entry | more


def inspected(state, *, labels=LABELS, ports=None, **more):
    published = {"8888/tcp": [{"HostIp": "127.0.0.1", "HostPort": "46031"}]} if ports is None else ports
    return {
        "State": {
            "Status": state,
            "StartedAt": "2026-11-22T23:06:41.438530034Z",
            "ExitCode": 0,
            "OOMKilled": False,
        }
        | more,
        "NetworkSettings": {"Ports": published},
        "Config": {"Labels": labels},
    }


@pytest.mark.parametrize(
    ("listing_entry", "inspect_entry", "expected"),
    [
        (
            listed("running"),
            inspected("running"),
            ServerStatus("w", ServerState.RUNNING, "http://127.0.0.1:46031", STARTED),
        ),
        (
            listed("running", Ports=None),
            inspected("running", ports={}),
            ServerStatus("w", ServerState.RUNNING, None, STARTED),
        ),
        (
            listed("exited", ExitCode=1),
            inspected("exited", ExitCode=1),
            ServerStatus("w", ServerState.STOPPED, None, STARTED, 1),
        ),
        (
            listed("created", StartedAt=-62135596800),
            inspected("created", StartedAt="0001-01-01T00:00:00Z"),
            ServerStatus("w", ServerState.STOPPED),
        ),
        (listed("stopping"), inspected("stopping"), ServerStatus("w", ServerState.STOPPED, None, STARTED, 0)),
    ],
)
def test_a_list_and_a_closer_look_say_the_same(listing_entry, inspect_entry, expected):
    assert listing.listed(listing_entry) == expected
    assert listing.inspected(inspect_entry) == expected


def test_a_closer_look_tells_that_memory_ran_out():
    killed = inspected("exited", ExitCode=137, OOMKilled=True) | {"HostConfig": {"Memory": 1 << 30}}
    assert (listing.inspected(killed).out_of_memory, listing.inspected(killed).memory) == (True, 1 << 30)
    assert listing.inspected(inspected("exited", ExitCode=137, OOMKilled=True)).out_of_memory


def test_an_image_with_the_extension_is_known_by_its_label():
    carrying = {**LABELS, "io.ipylti.extension": "1"}
    assert listing.inspected(inspected("running", labels=carrying)).extension
    assert listing.listed(listed("running", Labels=carrying)).extension
    assert not listing.listed(listed("running")).extension


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22T23:06:41.438530034Z", STARTED),
        ("2026-11-22T23:06:41Z", STARTED),
        ("2026-11-23T00:06:41.4+01:00", STARTED),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_gos_times_are_read(text, expected):
    assert listing.moment(text) == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (
            {"io.ipylti.kind": "take", "io.ipylti.instance": "i", "io.ipylti.assignment": "a"}
            | {"io.ipylti.workspace": "w"},
            VolumeSpec("v", "take", "i", "a", "w"),
        ),
        ({"io.ipylti.instance": "i"}, VolumeSpec("v", "", "i", "")),
        (None, VolumeSpec("v", "", "", "")),
    ],
)
def test_a_volume_is_read_from_its_labels(labels, expected):
    assert listing.volume({"Name": "v", "Labels": labels}) == expected
