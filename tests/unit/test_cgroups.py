"""What is read of a container's cgroup, of either version."""

from pathlib import Path

import pytest

from ipylti.servers.cgroups import Counted, memory

ID = "5" * 64
V1 = f"13:name=systemd:/\n9:memory:/libpod_parent/libpod-{ID}\n4:cpu,cpuacct:/\n0::/\n"
V2 = f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container\n"


def write(place: Path, **files: str) -> None:
    place.mkdir(parents=True)
    for name, text in files.items():
        (place / name.replace("__", ".")).write_text(text)


@pytest.fixture
def read(tmp_path: Path):
    def made(text: str) -> Counted | None:
        write(tmp_path / "proc" / "7", cgroup=text)
        return memory(7, ID, tmp_path / "proc", tmp_path / "cgroup")

    return made


@pytest.mark.parametrize(("most", "limit"), [("1073741824\n", 1 << 30), ("9223372036854771712\n", None)])
def test_version_1(tmp_path: Path, read, most: str, limit: int | None) -> None:
    counts = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"
    place = tmp_path / "cgroup/memory/libpod_parent" / f"libpod-{ID}"
    write(place, memory__oom_control=counts, memory__limit_in_bytes=most)
    assert read(V1) == Counted(3, limit)


@pytest.mark.parametrize(("most", "limit"), [("1073741824\n", 1 << 30), ("max\n", None)])
def test_version_2_counts_with_all_that_is_below(tmp_path: Path, read, most: str, limit: int | None) -> None:
    counts = "low 0\nhigh 0\nmax 9\noom 2\noom_kill 2\n"
    place = tmp_path / "cgroup/user.slice/user-1000.slice/user@1000.service/user.slice" / f"libpod-{ID}.scope"
    write(place, memory__events=counts, memory__max=most)
    write(place / "container", memory__events="oom_kill 0\n", memory__max="max\n")
    assert read(V2) == Counted(2, limit)


@pytest.mark.parametrize(
    "text", ["0::/user.slice/session.scope\n", "9:memory:/\n0::/\n", "", V2], ids=["v2", "v1", "none", "gone"]
)
def test_without_a_cgroup_of_its_own_nothing_is_known(tmp_path: Path, read, text: str) -> None:
    """Rootless Podman gives none where the host's are of version 1: what is counted there is others'."""
    write(tmp_path / "cgroup/user.slice/session.scope", memory__events="oom_kill 4\n", memory__max="max\n")
    assert read(text) is None


def test_a_process_that_is_gone(tmp_path: Path) -> None:
    assert memory(7, ID, tmp_path, tmp_path) is None
