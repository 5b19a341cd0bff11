"""docs/install.md, followed on a machine with a real systemd; then restarts, crashes, an upgrade, a reboot.

The tests stand in the order in which the machine lives.
"""

import contextlib
import http.client
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.campus import Campus, Config
from tests.campus.course import Link, new_link_id
from tests.parts import free_port, wait_for
from tests.person import Notebook, Person
from tests.root.machine import Document, Machine, install_document

INI = "/home/ipylti/production.ini"
TOOL = "https://ipylti.localhost"

#: What runs, and what all of it is told to be.
UNITS = ["ipylti-web@1", "ipylti-web@2", "ipylti-worker@1", "ipylti-traefik", "ipylti-redis"]

#: Seconds within which a notebook is reached again: a route that Traefik missed is mended by the next sweep.
ROUTED = 120

#: The document's parts that have commands; each is followed by a test.
FOLLOWED = [
    "Prepare the machine",
    "Configure",
    "Start",
    "The first launch",
    "After a change of production.ini",
    "Upgrade",
    "Uninstall",
]


@dataclass
class Site:
    """A machine on which ipylti is installed, and a campus that knows it.

    :param document: how it was installed.
    """

    machine: Machine
    document: Document
    campus: Campus

    def dependencies(self) -> dict[str, str]:
        """Return what the tool says of all that it depends on."""
        connection = http.client.HTTPConnection("127.0.0.1", 8002, timeout=10)
        try:
            connection.request("GET", "/readyz")
            return dict(json.loads(connection.getresponse().read()))
        except (OSError, http.client.HTTPException, ValueError):
            return {}
        finally:
            connection.close()

    def well(self) -> bool:
        """Return whether everything is there."""
        told = self.dependencies()
        return bool(told) and set(told.values()) == {"ok"}

    def wait_until_well(self) -> None:
        """Wait for everything to be there."""
        try:
            wait_for(self.well, "ipylti", 90, pause=0.2)
        except TimeoutError as err:
            raise AssertionError(f"{self.dependencies()}\n{self.log()}") from err

    def log(self, since: str = "-2min") -> str:
        """Return what the machine logged, without the requests."""
        script = f"journalctl --no-pager --since={since} --output cat | grep -v RequestPath | tail -n 150"
        return self.machine.root(script, check=False)

    def pid(self, unit: str) -> int:
        """Return the id of a unit's process, 0 if there is none."""
        return int(self.machine.show(unit, "MainPID"))


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The machine, installed by the document's commands alone."""
    machine, document = Machine(), install_document()
    try:
        machine.start()
        make_certificate(machine)
        document.follow(machine, "Prepare the machine", IPYLTI_IMAGE_ARCHIVE="/srv/notebook.tar")
        document.follow(machine, "Configure")
        # campus is on this machine, whose addresses are no platform's otherwise.
        machine.root(
            f"sed -i 's/^ipylti.allow_private_platforms.*/ipylti.allow_private_platforms = true/' {INI}"
        )
        document.follow(machine, "Start")
        with machine.network(), campus() as platform:
            made = Site(machine, document, platform)
            made.wait_until_well()
            options = " ".join(f"--{name} '{value}'" for name, value in platform.registration.items())
            machine.admin(f"sudo ipylti platform add {INI} {options}")
            yield made
    finally:
        machine.remove()


@contextlib.contextmanager
def campus() -> Iterator[Campus]:
    """A campus in the machine's network."""
    config = Config(
        tool_url=TOOL, port=free_port(), tool_jwks_url="http://127.0.0.1:8002/.well-known/jwks.json"
    )
    with Campus(config) as made:
        yield made


def make_certificate(machine: Machine) -> None:
    """Put a certificate where the sysadmin has one."""
    names = "DNS:ipylti.localhost,DNS:*.notebook.localhost"
    machine.admin(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ipylti "
        f"-addext subjectAltName={names} -keyout privkey.pem -out fullchain.pem 2>/dev/null"
    )


@pytest.fixture(autouse=True)
def log(site: Site) -> Iterator[None]:
    """Print what the machine logged meanwhile; pytest shows it where a test fails."""
    begun = f"@{int(time.time())}"
    yield
    print(site.log(begun))


@pytest.fixture(scope="module")
def work(site: Site) -> Notebook:
    """A student's notebook with something in it, of an assignment that the teacher has built."""
    try:
        link = build(site, "Exercise")
    except AssertionError as err:
        raise AssertionError(f"{err}\n{site.log()}") from err
    notebook = Person(site.campus, "zoe").launch(link).enter()
    assert notebook.save("answer.txt", "42").status == 201
    return notebook


def build(site: Site, title: str) -> str:
    """Return a link of an assignment that the teacher has just built."""
    link = site.campus.add_link(Link(new_link_id(), title, "", None, 10.0)).id
    assert Person(site.campus, "nora").launch(link).enter().save("task.txt", "Why?").status == 201
    return link


def server(site: Site, work: Notebook) -> str:
    """Return which container the notebook's is, and since when it runs."""
    return site.machine.containers()[f"ipylti-server-{work.workspace}"]


def answers(work: Notebook) -> bool:
    """Return whether the notebook is reached, through Traefik and the gate."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        return work.get("/api/status").status == 200
    return False


def test_no_command_of_the_document_is_left_out() -> None:
    assert [heading for heading, blocks in install_document().commands.items() if blocks] == FOLLOWED


def test_what_was_installed_is_in_order(site: Site) -> None:
    site.document.follow(site.machine, "The first launch")
    told = "systemctl --user is-system-running"
    wait_for(lambda: site.machine.service(told, check=False) == "running", "the end of all starts")
    assert site.machine.service("systemctl --user --no-legend --failed") == ""
    verified = site.machine.service("systemd-analyze --user verify ~/.config/systemd/user/ipylti* 2>&1")
    assert verified == ""
    again = site.document.follow(site.machine, "After a change of production.ini")
    assert "All files are as they should be." in again and "restarted" not in again


def test_what_is_secret_is_the_users_alone(site: Site) -> None:
    which = r"\( -name 'production*' -o -name '*.sqlite*' \) -perm /077"
    assert site.machine.root(f"find /home/ipylti -maxdepth 1 -type f {which}") == ""


def test_only_traefik_is_for_the_world(site: Site) -> None:
    listening = site.machine.root("cat /proc/net/tcp /proc/net/tcp6")
    sockets = [line.split()[1] for line in listening.splitlines() if line.split()[3:4] == ["0A"]]
    public = {
        int(port, 16) for address, port in (each.split(":") for each in sockets) if not int(address, 16)
    }
    assert public == {80, 443}


def test_a_launch_goes_through_traefik(site: Site, work: Notebook) -> None:
    assert work.read("answer.txt") == "42"
    assert server(site, work)


@pytest.mark.parametrize("unit", ["ipylti-web@*", "ipylti-worker@*", "ipylti-traefik", "podman"])
def test_a_restart_leaves_notebooks_alone(site: Site, work: Notebook, unit: str) -> None:
    before = server(site, work)
    site.machine.service(f"systemctl --user restart '{unit}.service'")
    wait_for(lambda: answers(work), "the notebook", ROUTED)
    site.wait_until_well()
    assert server(site, work) == before
    assert work.read("answer.txt") == "42"


def test_launches_go_on_while_webs_are_restarted(site: Site, work: Notebook) -> None:
    """Of two webs one, then the other, then both: nobody gets an error; who comes meanwhile waits."""
    failed: list[Exception] = []
    launched: list[str] = []
    stop = threading.Event()

    def click() -> None:
        while not stop.is_set():
            try:
                launched.append(Person(site.campus, "zoe").launch().launch_id)
                assert work.get("/api/status").status == 200
            except Exception as err:
                failed.append(err)

    people = [threading.Thread(target=click) for _ in range(3)]
    for person in people:
        person.start()
    for units in ("ipylti-web@1", "ipylti-web@2", "ipylti-web@1 ipylti-web@2"):
        so_far = len(launched)
        site.machine.service(f"systemctl --user restart {units}")
        wait_for(lambda so_far=so_far: len(launched) > so_far + 5 or bool(failed), "launches", 60)
    stop.set()
    for person in people:
        person.join(60)
    assert failed == []


@pytest.mark.parametrize("unit", UNITS)
def test_whatever_is_killed_is_started_again(site: Site, work: Notebook, unit: str) -> None:
    before, container = site.pid(unit), server(site, work)
    site.machine.service(f"systemctl --user kill --signal KILL {unit}")
    wait_for(lambda: site.pid(unit) not in (0, before), unit, 60, pause=0.2)
    site.wait_until_well()
    wait_for(lambda: answers(work), "the notebook", ROUTED)
    assert server(site, work) == container


def test_whatever_hangs_is_started_again(site: Site) -> None:
    """With less patience than it has: otherwise, the test would need some."""
    units = ["ipylti-web@2", "ipylti-worker@1", "ipylti-traefik"]
    folders = [f"~/.config/systemd/user/{re.sub('[0-9]', '', unit)}.service.d" for unit in units]
    for folder in folders:
        site.machine.service(
            f"mkdir -p {folder} && printf '[Service]\\nWatchdogSec=8\\n' >{folder}/test.conf"
        )
    anew = f"systemctl --user daemon-reload && systemctl --user restart {' '.join(units)}"
    site.machine.service(anew)
    before = {unit: site.pid(unit) for unit in units}
    for pid in before.values():
        site.machine.service(f"kill -STOP {pid}")
    for unit in units:
        wait_for(lambda unit=unit: site.pid(unit) not in (0, before[unit]), unit, 60, pause=0.2)
    site.machine.service(f"rm -r {' '.join(folders)} && {anew}")
    site.wait_until_well()


def test_an_upgrade_leaves_notebooks_alone(site: Site, work: Notebook) -> None:
    """The new version makes other labels, too."""
    before = server(site, work)
    running = site.machine.service("readlink -f ~/.local/share/ipylti/current")
    site.machine.admin("sed -i 's/^PRIORITY = 100$/PRIORITY = 101/' ipylti/servers/labels.py")
    site.machine.admin("grep -q 'PRIORITY = 101' ipylti/servers/labels.py")
    told = site.document.follow(site.machine, "Upgrade", IPYLTI_IMAGE_ARCHIVE="/srv/notebook.tar")
    assert [line.split()[1] for line in told.splitlines() if line.startswith("restarted")] == [
        f"{unit}.service" for unit in UNITS[:3]
    ]
    site.wait_until_well()
    environment = site.machine.root(f"tr '\\0' '\\n' </proc/{site.pid('ipylti-web@1')}/environ")
    house = re.search(r"^PYTHONPATH=(.*)$", environment, re.MULTILINE)
    assert (
        house
        and house[1] != running
        and house[1] == site.machine.service("readlink -f ~/.local/share/ipylti/current")
    )
    assert answers(work)
    assert work.person.launch(None).page.status == 200
    assert server(site, work) == before
    assert work.read("answer.txt") == "42"


def test_what_is_no_longer_wanted_is_stopped(site: Site) -> None:
    old = "~/.config/systemd/user/ipylti-old.service"
    site.machine.service(f"printf '[Service]\\nExecStart=/bin/sleep 1000\\n' >{old}")
    site.machine.service("systemctl --user daemon-reload && systemctl --user start ipylti-old")
    site.machine.root(f"sed -i 's/^webs = 2$/webs = 1/' {INI}")
    site.document.follow(site.machine, "After a change of production.ini")
    for unit in ("ipylti-web@2", "ipylti-old"):
        assert site.machine.service(f"systemctl --user is-active {unit}", check=False) == "inactive"
    assert site.machine.service(f"ls {old} 2>/dev/null", check=False) == ""
    site.wait_until_well()


def test_after_a_reboot_everything_is_there_by_itself(site: Site, work: Notebook) -> None:
    site.machine.reboot()
    site.wait_until_well()
    assert Person(site.campus, "layla").launch(build(site, "Another")).enter().read("task.txt") == "Why?"
    # Nothing ran meanwhile; a launch starts the server anew, with the work that was there.
    assert f"ipylti-server-{work.workspace}" not in site.machine.containers()
    again = Person(site.campus, "zoe").launch(work_link(site)).enter()
    assert (again.workspace, again.read("answer.txt")) == (work.workspace, "42")


def work_link(site: Site) -> str:
    """Return the link of the student's work."""
    return next(link.id for link in site.campus.course.links if link.title == "Exercise")


def test_uninstalled_it_is_gone_and_the_work_is_not(site: Site, work: Notebook) -> None:
    *removing, for_good = site.document.commands["Uninstall"]
    for block in removing:
        site.machine.admin(block)
    assert site.machine.service("ls ~/.config/systemd/user/ipylti* 2>/dev/null", check=False) == ""
    assert site.machine.service("systemctl --user --no-legend list-units 'ipylti*'") == ""
    assert site.machine.containers() == {}
    volumes = site.machine.admin("sudo bin/host run podman volume ls --quiet")
    assert f"ipylti-take-{work.workspace}" in volumes.splitlines()
    site.document.follow(site.machine, "Start")
    site.wait_until_well()
    for block in removing:
        site.machine.admin(block)
    site.machine.admin(for_good)
    assert site.machine.root("ls /home") == ""
    assert "no such user" in site.machine.root("id -u ipylti 2>&1", check=False)
