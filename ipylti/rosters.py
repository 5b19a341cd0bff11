"""Who could open each link, read from the platforms in the background.

A roster is read when people launch, once an hour at most, and never in the way of a launch. It tells the
teacher's page who has not come yet, and their names; nobody's rights come from it.
"""

import logging
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from ipylti import models
from ipylti.errors import OutgoingError, ServiceError
from ipylti.lti.roster import RosterMember, RosterReader
from ipylti.platforms import as_registration
from ipylti.volatile import Cache, Locks

log = logging.getLogger(__name__)

#: How long a roster counts as new.
FRESH = timedelta(hours=1)

#: Seconds after which a platform that did not give a roster is asked again.
_PAUSE = 600


class Rosters:
    """Reads rosters; in the worker.

    :param tried: which links' rosters were asked for in vain of late.
    """

    def __init__(
        self, sessions: sessionmaker[Session], reader: RosterReader, locks: Locks, tried: Cache
    ) -> None:
        self.sessions = sessions
        self.reader = reader
        self.locks = locks
        self.tried = tried

    def refresh(self, link_id: int) -> None:
        """Read the roster of a link, unless that was done or tried not long ago.

        What the platform does not tell, now or ever, changes nothing: the last roster stays.
        """
        with self.locks.hold(f"roster:{link_id}", seconds=300.0) as lock:
            if lock is None or self.tried.get(str(link_id)) is not None:
                return
            with self.sessions() as db:
                link = db.get_one(models.ResourceLink, link_id)
                if not wanted(link):
                    return
                registration = as_registration(link.deployment.registration)
                url, name = str(link.memberships_url), link.resource_link_id
            self.tried.set(str(link_id), True, _PAUSE)
            try:
                members = self.reader.members(registration, url, name)
            except (ServiceError, OutgoingError) as err:
                log.info("no roster", extra={"link": link_id, "code": err.code, "detail": err.detail})
                return
            with self.sessions.begin() as db:
                _keep(db, link_id, members)
            self.tried.delete(str(link_id))
        log.info("roster read", extra={"link": link_id, "members": len(members)})


def wanted(link: models.ResourceLink) -> bool:
    """Return whether a link's platform has a roster for us, and ours is not new any more."""
    old = link.roster_at is None or link.roster_at < models.now() - FRESH
    return bool(old and link.memberships_url and link.deployment.registration.enabled)


def _keep(db: Session, link_id: int, members: dict[str, RosterMember]) -> None:
    """Write a roster down; whoever is not in it any more stays, as somebody who left."""
    link = db.get_one(models.ResourceLink, link_id)
    link.roster_at = models.now()
    known = {row.sub: row for row in db.scalars(sa.select(models.Member).filter_by(resource_link_id=link_id))}
    for sub, row in known.items():
        if sub not in members:
            row.active = False
    for sub, member in members.items():
        row = known.get(sub) or models.Member(resource_link_id=link_id, sub=sub)
        row.name = member.name or row.name or ""
        row.roles = list(member.roles)
        row.active = member.active
        db.add(row)
