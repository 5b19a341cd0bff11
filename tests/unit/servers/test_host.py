"""What the host has left."""

import pytest

from ipylti.servers import host


def test_memory_is_read_in_bytes(tmp_path, monkeypatch):
    path = tmp_path / "meminfo"
    path.write_text("MemTotal:       16000000 kB\nMemFree:          100000 kB\nMemAvailable:    2048 kB\n")
    monkeypatch.setattr(host, "_MEMINFO", path)
    assert host.free_memory() == 2 << 20


@pytest.mark.parametrize("text", ["", "MemTotal: 5 kB\n", None])
def test_a_system_that_does_not_say(tmp_path, monkeypatch, text):
    path = tmp_path / "meminfo"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(host, "_MEMINFO", path)
    assert host.free_memory() is None


def test_this_system_says():
    assert 0 < (host.free_memory() or 0) < 1 << 50
