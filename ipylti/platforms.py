"""The platforms that are connected, and the tool's own keys, in the database."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, selectinload

from ipylti import http, models
from ipylti.errors import IpyltiError
from ipylti.lti import keys
from ipylti.lti.registrations import Quirks, Registration
from ipylti.models.queries import find_or_make


class PlatformError(IpyltiError):
    """A platform can't be added as asked."""

    code = "platform.bad"


class Platforms:
    """Finds registrations for the protocol (:class:`ipylti.lti.registrations.Registrations`)."""

    def __init__(self, db: Session) -> None:
        self.db = db

    def by_client(self, issuer: str, client_id: str) -> Registration | None:
        """Return the registration of a client at an issuer, or None."""
        row = self._row(issuer, client_id)
        return as_registration(row) if row is not None and row.enabled else None

    def by_issuer(self, issuer: str) -> list[Registration]:
        """Return all registrations of an issuer; Canvas and Blackboard share one among all customers."""
        return [as_registration(row) for row in self.all() if row.issuer == issuer and row.enabled]

    def by_id(self, registration_id: int) -> Registration:
        """Return the registration with this number, which is known to be there."""
        return as_registration(self.db.get_one(models.Registration, registration_id))

    def all(self) -> list[models.Registration]:
        """Return every registration's row, in the order in which they were added."""
        query = sa.select(models.Registration).options(selectinload(models.Registration.deployments))
        return list(self.db.scalars(query.order_by(models.Registration.id)))

    def add(
        self,
        *,
        issuer: str,
        client_id: str,
        auth_url: str,
        token_url: str,
        jwks_url: str,
        token_audience: str | None,
        deployments: Iterable[str],
        quirks: Quirks,
        allow_http: bool = False,
    ) -> models.Registration:
        """Register the tool's registration at a platform, or add deployments to one that is there.

        :param allow_http: whether endpoints may be plain http, as a platform's on this machine are.
        :raises PlatformError: it is there already, with other endpoints, or an endpoint is no https URL.
        """
        for url in (auth_url, token_url, jwks_url):
            if not http.is_web_url(url) or not (allow_http or url.startswith("https:")):
                raise PlatformError(f"{url} is not an https URL")
        endpoints = {
            "auth_url": auth_url,
            "token_url": token_url,
            "jwks_url": jwks_url,
            "token_audience": token_audience,
        }
        row = self._row(issuer, client_id)
        if row is None:
            row = models.Registration(
                issuer=issuer, client_id=client_id, quirks=quirks.to_dict(), **endpoints
            )
            self.db.add(row)
            self.db.flush()
        elif any(getattr(row, name) != value for name, value in endpoints.items()):
            raise PlatformError(
                f"{issuer} with client id {client_id} is registered already, with other endpoints"
            )
        for deployment_id in deployments:
            find_or_make(
                self.db,
                models.Deployment,
                {"registration_id": row.id, "deployment_id": deployment_id},
            )
        self.db.refresh(row)
        return row

    def frame_origins(self) -> tuple[str, ...]:
        """Return the origins of all platforms' pages, which may frame the tool's."""
        origins = {origin for row in self.all() if row.enabled for origin in registration_origins(row)}
        return tuple(sorted(origins))

    def _row(self, issuer: str, client_id: str) -> models.Registration | None:
        query = sa.select(models.Registration).filter_by(issuer=issuer, client_id=client_id)
        return self.db.scalars(query.options(selectinload(models.Registration.deployments))).one_or_none()


def as_registration(row: models.Registration) -> Registration:
    """Return what the protocol needs to know of a registration."""
    return Registration(
        id=row.id,
        issuer=row.issuer,
        client_id=row.client_id,
        auth_url=row.auth_url,
        token_url=row.token_url,
        jwks_url=row.jwks_url,
        token_audience=row.token_audience,
        deployments=frozenset(deployment.deployment_id for deployment in row.deployments),
        quirks=Quirks.from_dict(row.quirks),
    )


def registration_origins(row: models.Registration) -> set[str]:
    """Return the origins of one platform's pages, as far as its registration tells."""
    told = {http.origin(url) for url in (row.issuer, row.auth_url) if http.is_web_url(url)}
    return told | set(Quirks.from_dict(row.quirks).frame_origins)


class ToolKeys:
    """The tool's key pairs: made at the first start, kept in the database."""

    def __init__(self, db: Session) -> None:
        self.db = db

    def all(self) -> list[keys.ToolKey]:
        """Return all keys that are kept."""
        rows = self.db.scalars(sa.select(models.ToolKey).order_by(models.ToolKey.created_at))
        return [
            keys.ToolKey(row.kid, row.private, row.created_at, row.activates_at, row.retires_at)
            for row in rows
        ]

    def published(self, moment: datetime) -> dict[str, Any]:
        """Return the JSON Web Key Set for platforms."""
        return dict(keys.public_jwks(self.all(), moment))

    def ensure(self, moment: datetime) -> None:
        """Make the first key if there is none; processes that start at once end up with one."""
        if self.db.get_bind().dialect.name == "postgresql":
            self.db.execute(sa.text("LOCK TABLE tool_keys IN EXCLUSIVE MODE"))
        if self.all():
            return
        self.save(keys.generate(moment))

    def rotate(self, moment: datetime) -> bool:
        """Have a new key take over in a day; return False if one waits to do so already."""
        changed = keys.rotate(self.all(), moment)
        for key in changed:
            self.save(key)
        return bool(changed)

    def signer(self, moment: datetime) -> keys.Signer:
        """Return a signer with the key that is in force."""
        return keys.Signer(keys.signing_key(self.all(), moment))

    def save(self, key: keys.ToolKey) -> None:
        """Keep a key, or what has changed of it."""
        self.db.merge(
            models.ToolKey(
                kid=key.kid,
                private=dict(key.private),
                created_at=key.created,
                activates_at=key.activates,
                retires_at=key.retires,
            )
        )
        self.db.flush()
