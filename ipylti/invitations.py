"""Invitations: an administrator of the tool lets one platform register itself, once, and not for ever."""

import hashlib
import secrets
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ipylti import models
from ipylti.errors import AccessDenied

#: How long an invitation is good for, where nobody says.
LIFETIME = timedelta(days=7)


class Invitations:
    """The invitations in the database, which holds no token but its hash."""

    def __init__(self, db: Session) -> None:
        self.db = db

    def make(self, moment: datetime, lifetime: timedelta = LIFETIME) -> str:
        """Return the token of a new invitation; nobody can read it again."""
        token = secrets.token_urlsafe(32)
        self.db.add(models.Invitation(digest=_digest(token), created_at=moment, expires_at=moment + lifetime))
        self.db.flush()
        return token

    def look(self, token: str, moment: datetime) -> None:
        """Return if the invitation can be taken.

        :raises AccessDenied: ``invitation.unknown``, ``invitation.used`` or ``invitation.expired``.
        """
        query = sa.select(models.Invitation).filter_by(digest=_digest(token))
        found = self.db.scalars(query).one_or_none()
        if found is None:
            raise AccessDenied("no such invitation", code="invitation.unknown")
        if found.used_at is not None:
            raise AccessDenied("the invitation was used", code="invitation.used")
        if found.expires_at <= moment:
            raise AccessDenied("the invitation has expired", code="invitation.expired")

    def take(self, token: str, moment: datetime) -> None:
        """Use the invitation up; of all that try at once, one succeeds.

        :raises AccessDenied: as :meth:`look`.
        """
        done = self.db.execute(
            sa.update(models.Invitation)
            .where(
                models.Invitation.digest == _digest(token),
                models.Invitation.used_at.is_(None),
                models.Invitation.expires_at > moment,
            )
            .values(used_at=moment)
        )
        if done.rowcount != 1:  # type: ignore[attr-defined]
            self.look(token, moment)
            raise AccessDenied("the invitation was used just now", code="invitation.used")

    def give_back(self, token: str) -> None:
        """Make the invitation good again: what it was taken for did not come about."""
        self._change(token, used_at=None)

    def became(self, token: str, registration: models.Registration) -> None:
        """Write down what the invitation was used for."""
        self._change(token, registration_id=registration.id)

    def _change(self, token: str, **values: object) -> None:
        self.db.execute(sa.update(models.Invitation).filter_by(digest=_digest(token)).values(**values))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
