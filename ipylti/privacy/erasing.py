"""Erasing a person or a course: servers, volumes, rows, and what Redis knows.

What is to be gone is written down first; from then on nobody of theirs may launch. Then each workspace goes,
its row last, and the person's or the course's own rows at the end. Whatever ends this halfway, whoever comes
next goes on, at the latest a worker's sweep. A hash of what the platform calls them stays, and with it a
backup that is restored loses them again.
"""

import contextlib
import logging
from collections.abc import Callable
from datetime import datetime

import redis
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from ipylti import about, audit, ids, models, trace
from ipylti.errors import AccessDenied, IpyltiError
from ipylti.lti.messages import Message
from ipylti.privacy import rows
from ipylti.servers.spawner import Spawner, VolumeSpec
from ipylti.settings import Settings
from ipylti.volatile import Locks, renewed, translated

log = logging.getLogger(__name__)

#: Seconds to wait for somebody who starts a server or makes a copy, and that a lock lasts.
_WAIT = 60.0
_LASTS = 60.0


class ErasureError(IpyltiError):
    """What is to be erased is not known, or in use."""

    code = "erasure"


def person_digest(issuer: str, client_id: str, sub: str) -> str:
    """Return what stays of a person who is erased."""
    return ids.digest("erased person", issuer, client_id, sub)


def course_digest(issuer: str, client_id: str, deployment: str, context: str) -> str:
    """Return what stays of a course that is erased."""
    return ids.digest("erased course", issuer, client_id, deployment, context)


def refuse(db: Session, message: Message) -> None:
    """Refuse a message of whoever is being erased, and of whatever course is.

    :raises AccessDenied: (``launch.erasing``) so it is.
    """
    known = message.registration
    digests = [person_digest(known.issuer, known.client_id, message.sub)]
    if message.context is not None:
        digests.append(
            course_digest(known.issuer, known.client_id, message.deployment_id, message.context.id)
        )
    query = sa.select(models.Erasure.digest).filter_by(done_at=None)
    if db.scalars(query.where(models.Erasure.digest.in_(digests))).first() is not None:
        raise AccessDenied("what it belongs to is being erased", code="launch.erasing")


class Eraser:
    """Erases.

    :param say: told of each step, for whoever watches.
    """

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        spawner: Spawner,
        locks: Locks,
        client: redis.Redis,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.settings = settings
        self.sessions = sessions
        self.spawner = spawner
        self.locks = locks
        self.client = client
        self.say = say

    def begin(self, digest: str, moment: datetime) -> None:
        """Write down what is to be gone: one more time where it was gone before."""
        with self.sessions.begin() as db:
            db.merge(models.Erasure(digest=digest, begun_at=moment, done_at=None))

    def finish(self) -> int:
        """Erase all that is to be gone and is not; return how many people and courses that was.

        :raises ErasureError: a server is being started all the time, or so; it can be tried again.
        :raises ipylti.errors.DependencyDown: Podman, Redis or the database is away.
        """
        with self.sessions() as db:
            wanted = set(db.scalars(sa.select(models.Erasure.digest).filter_by(done_at=None)))
            people = [each for each in db.scalars(sa.select(models.Person)) if _of_person(db, each) in wanted]
            courses = [each for each in db.scalars(sa.select(models.Context)) if _of_course(each) in wanted]
            person_ids, course_ids = [each.id for each in people], [each.id for each in courses]
        if not wanted:
            return 0
        for person in person_ids:
            self._person(person)
        for course in course_ids:
            self._course(course)
        self._leftovers(wanted)
        with self.sessions.begin() as db:
            rows.remove_members(db, lambda key: person_digest(*key) in wanted)
            done = sa.update(models.Erasure).where(models.Erasure.digest.in_(wanted))
            db.execute(done.values(done_at=models.now()))
            audit.record(db, trace.current().actor, "data erased", people=len(people), courses=len(courses))
        log.info("erased", extra={"people": len(people), "courses": len(courses)})
        return len(wanted)

    def _person(self, person: int) -> None:
        """Erase a person; repeated until nothing of theirs came in meanwhile."""
        with self.sessions.begin() as db:
            rows.close_launches(db, models.Launch.person_id == person, models.now())
        self._workspaces(lambda db: rows.workspaces_of_person(db, person))
        with self.sessions.begin() as db:
            rows.remove_person(db, person)

    def _course(self, course: int) -> None:
        with self.sessions.begin() as db:
            links = rows.links_of_course(db, course)
            rows.close_launches(db, models.Launch.resource_link_id.in_(links), models.now())
            assignments = set(rows.assignments_of_course(db, course))
        self._workspaces(lambda db: rows.workspaces_of_course(db, course))
        for volume in self.spawner.volumes(self.settings.instance):
            if volume.assignment in assignments:
                self.spawner.remove_volume(volume.name)
        with self.sessions.begin() as db:
            rows.remove_course(db, course)

    def _workspaces(self, find: Callable[[Session], list[str]]) -> None:
        while True:
            with self.sessions() as db:
                found = find(db)
            if not found:
                return
            for number, workspace in enumerate(found, 1):
                self.workspace(workspace)
                self.say(f"workspaces: {number} of {len(found)}")

    def workspace(self, workspace: str) -> None:
        """Erase a workspace with its submissions: the server, the volumes, and then the rows."""
        with contextlib.ExitStack() as stack:
            with self.sessions() as db:
                copies = rows.submissions_of(db, workspace)
            held = []
            for name in (f"server:{workspace}", *(f"freeze:{number}" for number in copies)):
                lock = stack.enter_context(self.locks.hold(name, wait=_WAIT, seconds=_LASTS))
                if lock is None:
                    raise ErasureError(f"workspace {workspace} is in use: try again")
                held.append(lock)
            stack.enter_context(renewed(*held))
            self.spawner.stop(workspace)
            with self.sessions() as db:
                names = rows.volumes_of(db, workspace)
                launches = rows.launches_of(db, workspace)
            labelled = [
                volume.name
                for volume in self.spawner.volumes(self.settings.instance)
                if volume.workspace == workspace
            ]
            for volume in dict.fromkeys([*labelled, *names]):
                self.spawner.remove_volume(volume)
            self._forget(workspace, launches)
            with self.sessions.begin() as db:
                rows.remove_workspace(db, workspace)
        log.info("workspace erased", extra={"workspace": workspace})

    def _leftovers(self, wanted: set[str]) -> None:
        """Remove volumes that no row knows, and whose label says that they are to be gone."""
        for volume in self.spawner.volumes(self.settings.instance):
            if wanted & _of_volume(volume):
                self.spawner.remove_volume(volume.name)

    def _forget(self, workspace: str, launches: list[str]) -> None:
        """Have Redis forget a workspace, whose records are named after it or members of lists, and its
        launches' sessions."""
        with translated():
            for key in self.client.scan_iter(f"ipylti:*:{workspace}", count=1000):
                if not key.startswith(b"ipylti:lock:"):
                    self.client.delete(key)
            for key in self.client.scan_iter("ipylti:line:*", count=1000):
                kind = self.client.type(key)
                if kind == b"zset":
                    self.client.zrem(key, workspace)
                elif kind == b"hash":
                    self.client.hdel(key, workspace)
            self._forget_sessions({launch.encode() for launch in launches})

    def _forget_sessions(self, launches: set[bytes]) -> None:
        """Delete sessions by what they hold: their names are known to browsers only."""
        for key in self.client.scan_iter("*", count=1000, _type="string"):
            if not key.startswith(b"ipylti:"):
                held = self.client.get(key) or b""
                if any(launch in held for launch in launches):
                    self.client.delete(key)


def _of_person(db: Session, person: models.Person) -> str:
    registration = db.get_one(models.Registration, person.registration_id)
    return person_digest(registration.issuer, registration.client_id, person.sub)


def _of_course(context: models.Context) -> str:
    deployment = context.deployment
    registration = deployment.registration
    return course_digest(
        registration.issuer, registration.client_id, deployment.deployment_id, context.context_id
    )


def _of_volume(volume: VolumeSpec) -> set[str]:
    read = about.read(volume.about)
    if read is None:
        return set()
    found = {person_digest(read.issuer, read.client_id, read.sub)} if read.sub else set()
    if read.context:
        found.add(course_digest(read.issuer, read.client_id, read.deployment, read.context))
    return found
