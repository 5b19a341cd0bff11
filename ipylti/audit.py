"""Who did what to whose work: written in the transaction of the act itself, and told to the log after it.

No entry holds a name, an address or an id of a platform's: people are numbers of the database, which say
nothing once the person is erased.
"""

import logging
import os
import pwd
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session, sessionmaker

from ipylti import models, trace
from ipylti.trace import Actor, ActorKind

log = logging.getLogger(__name__)

#: Where a session keeps the entries of its transaction, for the log.
_WRITTEN = "ipylti.audit"


def record(
    db: Session,
    actor: Actor,
    action: str,
    *,
    workspace: models.Workspace | None = None,
    owner: int | None = None,
    **details: Any,
) -> None:
    """Write down an act, in the transaction in which it is done.

    :param action: what was done, like ``submission opened``: a thing and a verb.
    :param workspace: whose work it was done to.
    :param owner: the number of the person whom it is about, where no workspace says it.
    :param details: plain JSON values; no name, no address, no secret.
    """
    entry = models.AuditEntry(
        created_at=models.now(),
        action=action,
        actor_kind=actor.kind,
        actor=actor.name,
        person_id=int(actor.name) if actor.kind is ActorKind.PERSON else None,
        owner_id=workspace.person_id if workspace is not None else owner,
        workspace_id=workspace.id if workspace is not None else None,
        details=details,
        request_id=trace.current().request_id,
    )
    db.add(entry)
    db.info.setdefault(_WRITTEN, []).append((action, _fields(entry)))


def record_apart(sessions: sessionmaker[Session], action: str, workspace: str, **details: Any) -> None:
    """Write down what became of a workspace's server, at whose wish the trace says; it is the act of no
    transaction."""
    with sessions.begin() as db:
        row = db.get(models.Workspace, workspace)
        record(db, trace.current().actor, action, workspace=row, **details)


def administrator() -> Actor:
    """Return whoever types this command: the user of the host, and who became that user by sudo."""
    number = os.getuid()
    try:
        user = pwd.getpwuid(number).pw_name
    except KeyError:
        user = str(number)
    became = os.environ.get("SUDO_USER", user)
    return Actor(ActorKind.ADMINISTRATOR, user if became == user else f"{became} as {user}")


def find(
    db: Session,
    *,
    person: int | None = None,
    workspace: str | None = None,
    action: str | None = None,
    since: datetime | None = None,
    limit: int,
) -> list[models.AuditEntry]:
    """Return the latest entries, oldest first.

    :param person: who did it, or to whose work it was done.
    :param action: an action, or the thing in it.
    """
    entry = models.AuditEntry
    query = sa.select(entry)
    if person is not None:
        query = query.where(sa.or_(entry.person_id == person, entry.owner_id == person))
    if workspace is not None:
        query = query.where(entry.workspace_id == workspace)
    if action is not None:
        below = entry.action.startswith(f"{action} ", autoescape=True)
        query = query.where(sa.or_(entry.action == action, below))
    if since is not None:
        query = query.where(entry.created_at >= since)
    latest = query.order_by(entry.created_at.desc(), entry.id.desc()).limit(limit)
    return list(db.scalars(latest))[::-1]


def _fields(entry: models.AuditEntry) -> dict[str, Any]:
    fields = {
        "actor_kind": str(entry.actor_kind),
        "actor": entry.actor,
        "owner": entry.owner_id,
        "workspace": entry.workspace_id,
        "details": entry.details or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


@event.listens_for(Session, "after_commit")
def _tell(session: Session) -> None:
    """Tell the log what is true now; the commit of a savepoint makes nothing true yet."""
    if not session.in_nested_transaction():
        for action, fields in session.info.pop(_WRITTEN, []):
            log.info(action, extra=fields)


@event.listens_for(Session, "after_rollback")
def _forget(session: Session) -> None:
    """Forget what was not done after all."""
    if not session.in_nested_transaction():
        session.info.pop(_WRITTEN, None)
