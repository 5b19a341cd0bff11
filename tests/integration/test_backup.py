"""The drill: everything into a backup, everything lost, everything back; and killed in the middle of each."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.orm import sessionmaker

from ipylti import models, volatile
from ipylti.backups import dump
from ipylti.backups.store import Store
from ipylti.lti.registrations import Quirks
from ipylti.models.upgrade import upgrade
from ipylti.platforms import Platforms, ToolKeys
from ipylti.servers.podman import PodmanSpawner
from ipylti.servers.spawner import VolumeSpec
from ipylti.settings import Settings, load
from ipylti.volatile import Pulse
from tests.integration.conftest import PodmanService, needs_ordinary_user, podman
from tests.integration.test_archives import settled
from tests.integration.test_clone import inside, snapshot, volumes_folder, write
from tests.parts import redis_server, wait_for

WORKSPACES = 90
SUBMISSIONS = 10

#: Fills volumes with random trees: argument 1 is the folder of volumes, the others are their names.
FOREST = r"""
import os, random, socket, sys
for name in sys.argv[2:]:
    chance = random.Random(name)
    folders = [b"."]
    os.chdir(f"{sys.argv[1]}/{name}/_data")
    for _ in range(chance.randrange(25)):
        parent = chance.choice(folders)
        word = bytes(chance.choice(b"ab \n\xff\"'*\\$-\xc3\xbc") for _ in range(chance.randrange(1, 9)))
        path = os.path.join(parent, word + str(len(folders)).encode() + str(chance.randrange(10**6)).encode())
        kind = chance.randrange(7)
        if kind == 0:
            os.mkdir(path)
            folders.append(path)
        elif kind == 1:
            os.symlink(chance.choice(["/etc/passwd", "nowhere", "..", "."]), path)
        elif kind == 2:
            with open(path, "wb") as file:
                file.truncate(chance.randrange(1, 1 << 22))
                file.seek(chance.randrange(1 << 22))
                file.write(b"island")
        else:
            with open(path, "wb") as file:
                file.write(chance.randbytes(chance.randrange(200_000)))
            if kind == 3:
                os.link(path, path + b" linked")
            elif kind == 4:
                os.setxattr(path, "user.chance", chance.randbytes(20))
            os.chown(path, 1000, 1000)
            os.chmod(path, chance.choice([0o600, 0o644, 0o755, 0o400, 0]))
        os.utime(path, ns=(10**18, 10**18 + chance.randrange(10**12)), follow_symlinks=False)
"""


@dataclass
class Installation:
    """An installation with work in it, and no server.

    :param ini: its configuration.
    :param podman: the Podman that its commands use.
    """

    folder: Path
    settings: Settings
    ini: Path
    podman: PodmanService
    spawner: PodmanSpawner

    @property
    def store(self) -> Store:
        return Store(self.folder / "backups")

    def begin(self, *arguments: str | Path) -> "subprocess.Popen[str]":
        """Begin an ipylti command."""
        program = [sys.executable, "-c", "from ipylti.cli import main; main()"]
        return subprocess.Popen(
            [*program, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, *arguments: str | Path, status: int = 0) -> str:
        """Run one to its end and return what it says."""
        with self.begin(*arguments) as process:
            said, _ = process.communicate(timeout=300)
        assert process.returncode == status, said
        return said

    def backup(self, *options: str, status: int = 0) -> str:
        return self.run("backup", self.ini, self.folder / "backups", *options, status=status)

    def restore(self, *options: str, status: int = 0) -> str:
        return self.run("restore", self.ini, self.folder / "backups", *options, status=status)

    def volumes(self) -> list[VolumeSpec]:
        return sorted(self.spawner.volumes(self.settings.instance), key=lambda volume: volume.name)

    def digests(self) -> dict[str, str]:
        """The digest of each volume's canonical manifest."""
        found = {}
        for start in range(0, len(volumes := self.volumes()), 50):
            for content in self.spawner.inspect(volumes[start : start + 50], self.settings.image):
                assert content.error == ""
                found[content.volume] = content.digest
        return found

    def rows(self) -> list[dump.Row]:
        """All rows of the database."""
        path = self.folder / f"rows-{os.urandom(4).hex()}"
        engine = models.make_engine(self.settings.database_url)
        dump.write(engine, path)
        engine.dispose()
        return list(dump.rows(path))

    def occupied(self) -> list[str]:
        """The tables with rows in them."""
        engine = models.make_engine(self.settings.database_url)
        found = dump.occupied(engine)
        engine.dispose()
        return found

    def lose_everything(self) -> None:
        podman("volume", "rm", "--force", *(volume.name for volume in self.volumes()))
        for path in self.folder.glob("ipylti.sqlite*"):
            path.unlink()


def populate(settings: Settings, spawner: PodmanSpawner) -> None:
    """Give an installation workspaces, submissions and their volumes, with random trees in them."""
    engine = models.make_engine(settings.database_url)
    upgrade(engine)
    names = []
    with sessionmaker(engine).begin() as db:
        ToolKeys(db).ensure(models.now())
        registration = Platforms(db).add(
            issuer="https://lms.example",
            client_id="client",
            auth_url="https://lms.example/auth",
            token_url="https://lms.example/token",
            jwks_url="https://lms.example/jwks",
            token_audience=None,
            deployments=["1"],
            quirks=Quirks(),
        )
        deployment = registration.deployments[0]
        db.add(models.Assignment(id="a" * 32, deployment_id=deployment.id))
        link = models.ResourceLink(deployment_id=deployment.id, resource_link_id="l", assignment_id="a" * 32)
        db.add(link)
        db.flush()
        for number in range(WORKSPACES):
            person = models.Person(registration_id=registration.id, sub=str(number))
            db.add(person)
            db.flush()
            workspace = models.Workspace(
                id=f"{settings.instance}w{number}",
                assignment_id="a" * 32,
                kind=models.WorkspaceKind.TAKE,
                person_id=person.id,
                volume=f"ipylti-take-{settings.instance}w{number}",
                populated_at=models.now(),
            )
            db.add(workspace)
            names.append(VolumeSpec(workspace.volume, "take", settings.instance, "a" * 32, workspace.id))
            if number < SUBMISSIONS:
                launch = models.Launch(
                    id=str(number),
                    person_id=person.id,
                    workspace_id=workspace.id,
                    resource_link_id=link.id,
                    staff=False,
                    expires_at=models.now(),
                )
                db.add(launch)
                db.flush()
                volume = f"ipylti-submission-{workspace.id}-1"
                submission = models.Submission(
                    workspace_id=workspace.id, launch_id=launch.id, number=1, volume=volume
                )
                db.add(submission)
                names.append(VolumeSpec(volume, "submission", settings.instance, "a" * 32, workspace.id))
    for volume in names:
        spawner.ensure_volume(volume)
    command = ["podman", "unshare", "/usr/bin/python3", "-c", FOREST, volumes_folder()]
    subprocess.run([*command, *(volume.name for volume in names)], check=True, cwd="/", timeout=120)
    submitted = [volume for volume in names if volume.kind == "submission"]
    with sessionmaker(engine).begin() as db:
        for content in spawner.inspect(submitted, settings.image):
            row = db.query(models.Submission).filter_by(volume=content.volume).one()
            row.state, row.digest = models.SubmissionState.FROZEN, content.digest
    engine.dispose()


@pytest.fixture
def installation(
    instance: str, tmp_path: Path, podman_url: str, image: str, spawner: PodmanSpawner
) -> Iterator[Installation]:
    """An installation with a hundred volumes; its commands use a Podman service that a test may end."""
    needs_ordinary_user()
    service = PodmanService(tmp_path)
    service.start()
    with redis_server(tmp_path) as redis_url:
        section = {
            "ipylti.url": f"http://{instance}.localhost",
            "ipylti.notebook_domain": "notebook.localhost",
            "ipylti.notebook_scheme": "http",
            "ipylti.secret": "0123456789abcdef0123456789abcdef",
            "ipylti.podman_url": service.url,
            "ipylti.image": image,
            "sqlalchemy.url": f"sqlite:///{tmp_path}/ipylti.sqlite",
            "redis.sessions.url": redis_url,
        }
        ini = tmp_path / "ipylti.ini"
        lines = [f"{name} = {value}\n" for name, value in section.items()]
        ini.write_text("[app:main]\nuse = egg:ipylti\n" + "".join(lines))
        made = Installation(tmp_path, load(section, {}), ini, service, spawner)
        populate(made.settings, spawner)
        settled()
        try:
            yield made
        finally:
            service.stop()
            for volume in made.volumes():
                spawner.remove_volume(volume.name)


def killed(process: "subprocess.Popen[str]", when: Callable[[], bool]) -> None:
    """Kill a process in the middle of its work."""
    with process:
        wait_for(lambda: when() or process.poll() is not None, "the middle", 120, pause=0.005)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    assert process.returncode == -signal.SIGKILL, "it was quicker"


def changed(said: str) -> int:
    """Return how many volumes a backup says had changed."""
    return int(re.findall(r"; (\d+) changed", said)[-1])


def test_everything_comes_back(installation: Installation) -> None:
    digests, rows = installation.digests(), installation.rows()
    assert len(digests) == WORKSPACES + SUBMISSIONS
    metadata = {name: snapshot(name) for name in list(digests)[::25]}
    archives = installation.store.archives

    # Killed, and Podman gone, in the middle: no backup; and then one, that goes on where they ended.
    killed(installation.begin("backup", installation.ini, archives.parent), lambda: count(archives) >= 10)
    begun = count(archives)
    process = installation.begin("backup", installation.ini, archives.parent)
    wait_for(lambda: count(archives) >= begun + 10 or process.poll() is not None, "more", 60, pause=0.005)
    installation.podman.stop()
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 1
    assert re.search(r"Error: .*podman|Error: .*stream", said, re.IGNORECASE), said
    assert installation.store.manifests() == []
    assert installation.backup("--list").strip() == "none"
    done = count(archives)
    installation.podman.start()
    assert changed(installation.backup()) <= len(digests) - done + 5
    assert count(archives) <= len(digests)
    installation.backup("--verify")

    # What did not change is not read again; submissions are not even looked at.
    takes = [volume for volume in installation.volumes() if volume.kind == "take"]
    write(takes[0].name, "new")
    inside(takes[1].name, "import os, sys; os.chmod(sys.argv[1], 0o700)")
    inside(takes[2].name, "import os, sys; os.mkdir(sys.argv[1] + '/made')")
    before = set(archives.iterdir())
    said = installation.backup()
    assert changed(said) == 3
    assert len(set(archives.iterdir()) - before) == 3
    digests = installation.digests()

    # Lost, and back; the restore is killed in the middle, too.
    installation.lose_everything()
    process = installation.begin("restore", installation.ini, archives.parent)
    killed(process, lambda: len(installation.volumes()) > 30)
    assert installation.occupied() == [], "rows come last"
    installation.restore()
    assert installation.digests() == digests
    assert installation.rows() == rows
    assert {name: snapshot(name) for name in metadata} == metadata
    assert {volume.kind for volume in installation.volumes()} == {"take", "submission"}, "nothing put aside"

    # What has work in it is not restored into by mistake, nor while a worker works.
    said = installation.restore(status=1)
    assert "--replace" in said
    pulse = Pulse(volatile.connect(installation.settings.redis_url))
    pulse.beat({})
    assert "worker" in installation.restore("--replace", status=1)

    # One workspace as it was, and nothing lost of what is there.
    first = takes[0]
    write(first.name, "newer", "newer")
    moment = installation.store.manifests()[0].at.isoformat()
    installation.restore("--workspace", first.workspace, "--at", moment)
    assert "new" not in snapshot(first.name)
    [kept] = [volume for volume in installation.volumes() if volume.kind == "kept"]
    assert {"new", "newer"} <= set(snapshot(kept.name))
    assert "no workspace" in installation.restore("--workspace", "b" * 32, status=1)

    # Old backups go, with what only they knew.
    installation.backup("--keep", "1")
    [last] = installation.store.manifests()
    assert {path.stem for path in archives.iterdir()} == {entry.archive for entry in last.volumes}
    assert all(path.stat().st_mode & 0o077 == 0 for path in archives.parent.rglob("*"))


def count(archives: Path) -> int:
    """Return how many archives are whole."""
    return len(list(archives.glob("*.tar"))) if archives.exists() else 0
