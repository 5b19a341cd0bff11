"""What Podman says of containers and volumes, read into the domain's plain data. Pure functions."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ipylti.servers import labels
from ipylti.servers.spawner import EngineFacts, ServerState, ServerStatus, VolumeSpec

#: An exit by SIGKILL, which is how the kernel's out-of-memory killer ends a process.
KILLED = 137

#: States of a container that has not run yet.
NEW = frozenset({"created", "configured", "initialized"})


def listed(entry: Mapping[str, Any]) -> ServerStatus:
    """Read one entry of ``GET /libpod/containers/json``, which does not say whether memory ran out."""
    ports = [
        (port.get("host_ip"), port.get("host_port"))
        for port in entry.get("Ports") or ()
        if port.get("container_port") == labels.JUPYTER_PORT
    ]
    return _status(
        entry.get("Labels") or {},
        str(entry.get("State", "")),
        ports[0] if ports else None,
        datetime.fromtimestamp(entry.get("StartedAt") or 0, UTC),
        int(entry.get("ExitCode") or 0),
        out_of_memory=False,
    )


def inspected(entry: Mapping[str, Any]) -> ServerStatus:
    """Read the answer of ``GET /libpod/containers/<name>/json``."""
    state = entry["State"]
    published = (entry.get("NetworkSettings") or {}).get("Ports") or {}
    ports = [
        (port.get("HostIp"), port.get("HostPort"))
        for port in published.get(f"{labels.JUPYTER_PORT}/tcp") or ()
    ]
    return _status(
        (entry.get("Config") or {}).get("Labels") or {},
        str(state["Status"]),
        ports[0] if ports else None,
        moment(state["StartedAt"]),
        int(state.get("ExitCode") or 0),
        memory=int((entry.get("HostConfig") or {}).get("Memory") or 0) or None,
        out_of_memory=bool(state.get("OOMKilled")),
    )


def engine(entry: Mapping[str, Any]) -> EngineFacts:
    """Read the answer of ``GET /libpod/info``."""
    host, store = entry["host"], entry["store"]
    return EngineFacts(
        version=str(entry["version"]["Version"]),
        rootless=bool(host["security"]["rootless"]),
        storage=str(store["graphDriverName"]),
        root=str(store["graphRoot"]),
        controllers=frozenset(host.get("cgroupControllers") or ()),
    )


def has_extension(entry: Mapping[str, Any]) -> bool:
    """Read the answer of ``GET /libpod/images/<name>/json``: whether the image carries the extension."""
    return bool((entry.get("Labels") or {}).get(labels.EXTENSION))


def _status(
    labelled: Mapping[str, str],
    state: str,
    port: tuple[Any, Any] | None,
    started: datetime,
    exit_code: int,
    *,
    out_of_memory: bool,
    memory: int | None = None,
) -> ServerStatus:
    running = state == "running"
    return ServerStatus(
        workspace=labelled.get(labels.WORKSPACE, ""),
        state=ServerState.RUNNING if running else ServerState.STOPPED,
        address=f"http://{port[0] or '127.0.0.1'}:{port[1]}" if running and port else None,
        started_at=None if state in NEW else started,
        exit_code=None if running or state in NEW else exit_code,
        out_of_memory=out_of_memory,
        memory=memory if out_of_memory else None,
        extension=bool(labelled.get(labels.EXTENSION)),
    )


def moment(text: str) -> datetime:
    """Read Go's time format, whose nanoseconds Python does not take."""
    return datetime.fromisoformat(re.sub(r"\.\d+", "", text))


def volume(entry: Mapping[str, Any]) -> VolumeSpec:
    """Read one entry of ``GET /libpod/volumes/json``."""
    labelled = entry.get("Labels") or {}
    return VolumeSpec(
        name=entry["Name"],
        kind=labelled.get(labels.KIND, ""),
        instance=labelled.get(labels.INSTANCE, ""),
        assignment=labelled.get(labels.ASSIGNMENT, ""),
        workspace=labelled.get(labels.WORKSPACE, ""),
        about=labelled.get(labels.ABOUT, ""),
    )


def message(answer: Any) -> str:
    """Return the engine's own words for what went wrong, on one line."""
    try:
        words = answer.json()["message"]
    except (OSError, ValueError, KeyError, TypeError):
        words = ""
    return " ".join(str(words).split())[:500]
