"""production.ini and the commands that start it: what must not run in production does not start."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ipylti.install.plan import HOUSE
from ipylti.settings import DEVELOPMENT_SECRET
from tests.production import production_ini

SECRET = "6b1f0c9e8d27a45330f4e1b2c7d8596a"

#: What is wrong -> changes of production.ini, the secret, and how the complaint begins.
WRONG = {
    "no secret": ((), "", "ipylti.secret: missing"),
    "the demo's secret": ((), DEVELOPMENT_SECRET, "ipylti.secret: is the one of development.ini"),
    "an example's secret": ((), "changeme" * 4, "ipylti.secret: can be guessed"),
    "a short secret": ((), "6b1f0c9e8d27a453", "ipylti.secret: must have at least 32"),
    "http": ((("https://notebooks", "http://notebooks"),), SECRET, "ipylti.url: must be https"),
    "notebooks by http": (
        (("ipylti.notebook_scheme = https", "ipylti.notebook_scheme = http"),),
        SECRET,
        "ipylti.notebook_scheme: must be https",
    ),
    "notebooks on the tool's host": (
        (("lab.example.org", "notebooks.example.org"),),
        SECRET,
        "ipylti.notebook_domain: must not be the tool's own host",
    ),
    "notebooks on a parent of it": (
        (("lab.example.org", "example.org"),),
        SECRET,
        "ipylti.notebook_domain: must not be the tool's own host or a parent",
    ),
}


def started(command: str, ini: Path, secret: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a unit does, until it ends."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("IPYLTI_")}
    env.pop("DBUS_SESSION_BUS_ADDRESS", None)
    env |= {"PYTHONPATH": str(HOUSE), "XDG_RUNTIME_DIR": "/run/user/none"}
    if secret:
        env["IPYLTI_SECRET"] = secret
    words = [sys.executable, "-m", "ipylti.cli", command, str(ini)]
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("wrong", WRONG)
def test_what_must_not_run_does_not_start(tmp_path: Path, wrong: str) -> None:
    changes, secret, told = WRONG[wrong]
    ini = production_ini(tmp_path, *changes)
    with ThreadPoolExecutor() as side_by_side:
        both = list(side_by_side.map(lambda command: started(command, ini, secret), ("web", "worker")))
    for done in both:
        assert done.returncode == 1
        assert done.stderr.startswith(f"Error: {told}")
        assert len(done.stderr.strip().splitlines()) == 1
        assert not secret or secret not in done.stderr


@pytest.mark.parametrize("command", ["web", "worker"])
def test_production_ini_itself_is_right(tmp_path: Path, command: str) -> None:
    """It gets as far as the database, which nobody has made yet."""
    done = started(command, production_ini(tmp_path), SECRET)
    assert (done.returncode, "ipylti db upgrade" in done.stderr) == (1, True)


def test_the_secret_may_stand_in_the_file_beside_it(tmp_path: Path) -> None:
    ini = production_ini(tmp_path)
    (tmp_path / "production.env").write_text(f"# made by install\nIPYLTI_SECRET={SECRET}\n")
    assert "ipylti db upgrade" in started("web", ini, "").stderr


def test_nothing_is_installed_where_the_user_has_no_systemd(tmp_path: Path) -> None:
    ini = production_ini(tmp_path)
    before = sorted(tmp_path.iterdir())
    done = started("install", ini, "")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("Error: no systemd of this user's own: sudo loginctl enable-linger")
    assert sorted(tmp_path.iterdir()) == before


def test_another_server_than_waitress_is_not_for_the_web_command(tmp_path: Path) -> None:
    ini = production_ini(tmp_path, ("egg:waitress#main", "egg:gunicorn#main"))
    assert started("web", ini, SECRET).stderr.startswith(
        "Error: [server:main] use: must be egg:waitress#main"
    )
