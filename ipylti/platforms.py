"""The platforms that are connected, and the tool's own keys, in the database."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
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
    """Finds registrations for the protocol (:class:`ipylti.lti.registrations.Registrations`).

    :param trust_new: whether every deployment of a known registration is welcome.
    """

    def __init__(self, db: Session, *, trust_new: bool = False) -> None:
        self.db = db
        self.trust_new = trust_new

    def by_client(self, issuer: str, client_id: str) -> Registration | None:
        """Return the registration of a client at an issuer, or None."""
        row = self._row(issuer, client_id)
        return self._open(as_registration(row)) if row is not None and row.enabled else None

    def by_issuer(self, issuer: str) -> list[Registration]:
        """Return all registrations of an issuer; Canvas and Blackboard share one among all customers."""
        known = [row for row in self.all() if row.issuer == issuer and row.enabled]
        return [self._open(as_registration(row)) for row in known]

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
        :raises PlatformError: it is there already, with other endpoints, an endpoint is no https URL, or
            an id is empty.
        """
        deployments = list(deployments)
        _check_ids(issuer, client_id, *deployments)
        _check_urls((auth_url, token_url, jwks_url), allow_http)
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
        elif not row.auth_url:
            # Made anew of volumes' labels, which know no addresses (:mod:`ipylti.backups.rebuilding`).
            for name, value in endpoints.items():
                setattr(row, name, value)
            row.quirks, row.enabled = quirks.to_dict(), True
            self.db.flush()
        elif any(getattr(row, name) != value for name, value in endpoints.items()):
            raise PlatformError(
                f"{issuer} with client id {client_id} is registered already, with other endpoints "
                "(“ipylti platform edit” changes them, “ipylti deployment add” adds a deployment)"
            )
        for deployment_id in deployments:
            find_or_make(
                self.db,
                models.Deployment,
                {"registration_id": row.id, "deployment_id": deployment_id},
            )
        self.db.refresh(row)
        return row

    def register(
        self,
        *,
        issuer: str,
        client_id: str,
        auth_url: str,
        token_url: str,
        jwks_url: str,
        token_audience: str | None,
        deployment: str | None,
        quirks: Quirks,
        allow_http: bool = False,
    ) -> models.Registration:
        """Keep what a platform registered itself with; one that is there gets the new endpoints.

        :param deployment: the deployment that the platform told; without one, the first that launches is
            taken (:meth:`accept_deployment`).
        :raises PlatformError: an endpoint is no https URL.
        """
        known = self._row(issuer, client_id)
        if known is not None:
            known.auth_url, known.token_url, known.jwks_url = auth_url, token_url, jwks_url
            known.token_audience, known.enabled = token_audience, True
            self.db.flush()
        row = self.add(
            issuer=issuer,
            client_id=client_id,
            auth_url=auth_url,
            token_url=token_url,
            jwks_url=jwks_url,
            token_audience=token_audience,
            deployments=[deployment] if deployment else [],
            quirks=quirks,
            allow_http=allow_http,
        )
        row.awaits_deployment = not row.deployments
        self.db.flush()
        return row

    def edit(
        self,
        issuer: str,
        client_id: str,
        changes: Mapping[str, str | None],
        quirks: Mapping[str, str],
        *,
        allow_http: bool = False,
    ) -> None:
        """Change what is known of a platform; who it is, its issuer and client id, stays.

        :param changes: of ``name``, ``auth_url``, ``token_url``, ``jwks_url`` and ``token_audience``.
        :param quirks: as :meth:`ipylti.lti.registrations.Quirks.changed` reads them; others stay.
        :raises PlatformError: there is no such registration, or an endpoint is no https URL.
        :raises ipylti.errors.SettingsError: a quirk is unknown or of a wrong kind.
        """
        row = self.known(issuer, client_id)
        _check_urls([url or "" for name, url in changes.items() if name.endswith("_url")], allow_http)
        for name, value in changes.items():
            setattr(row, name, value)
        row.quirks = Quirks.from_dict(row.quirks).changed(quirks).to_dict()
        self.db.flush()

    def disable(self, issuer: str, client_id: str, moment: datetime) -> int:
        """Let nobody launch from a platform any more, and close what is open; return how many launches that
        was. Notebooks follow when their gate's cookie is issued anew (:data:`ipylti.gate.FRESH`).

        :raises PlatformError: there is no such registration.
        """
        row = self.known(issuer, client_id)
        row.enabled = False
        self.db.flush()
        people = sa.select(models.Person.id).filter_by(registration_id=row.id)
        closed = self.db.execute(
            sa.update(models.Launch)
            .where(
                models.Launch.person_id.in_(people),
                models.Launch.revoked_at.is_(None),
                models.Launch.expires_at > moment,
            )
            .values(revoked_at=moment)
        )
        return int(closed.rowcount)  # type: ignore[attr-defined]

    def enable(self, issuer: str, client_id: str) -> None:
        """Let people launch from a platform again; what was closed stays closed.

        :raises PlatformError: there is no such registration.
        """
        self.known(issuer, client_id).enabled = True
        self.db.flush()

    def remove(self, issuer: str, client_id: str) -> None:
        """Forget a platform and its deployments.

        :raises PlatformError: there is no such registration, or people have worked there.
        """
        row = self.known(issuer, client_id)
        people = sa.select(models.Person.id).filter_by(registration_id=row.id)
        if self.db.scalars(people).first() is not None or any(self._used(each) for each in row.deployments):
            raise PlatformError(
                f"people have worked there, so {issuer} stays; “ipylti platform disable” closes it"
            )
        self.db.delete(row)
        self.db.flush()

    def add_deployment(self, issuer: str, client_id: str, deployment_id: str) -> None:
        """Make a deployment known.

        :raises PlatformError: there is no such registration, or the id is empty.
        """
        _check_ids(deployment_id)
        key = {"registration_id": self.known(issuer, client_id).id, "deployment_id": deployment_id}
        find_or_make(self.db, models.Deployment, key)

    def remove_deployment(self, issuer: str, client_id: str, deployment_id: str) -> None:
        """Forget a deployment.

        :raises PlatformError: there is no such one, or people have worked there.
        """
        row = self.known(issuer, client_id)
        found = next((each for each in row.deployments if each.deployment_id == deployment_id), None)
        if found is None:
            raise PlatformError(f"{issuer} has no deployment {deployment_id}")
        if self._used(found):
            raise PlatformError(
                f"people have worked in deployment {deployment_id}; “ipylti platform disable” closes it"
            )
        self.db.delete(found)

    def known(self, issuer: str, client_id: str) -> models.Registration:
        """Return a registration's row.

        :raises PlatformError: there is none.
        """
        row = self._row(issuer, client_id)
        if row is None:
            raise PlatformError(f"{issuer} with client id {client_id} is not connected")
        return row

    def accept_deployment(self, registration_id: int, deployment_id: str) -> bool:
        """Make a deployment known that a verified message came from; return whether it is known now.

        Where new ones are not welcome, it is the first one of a registration that waits for it, and of two
        at once one.
        """
        waited = self.db.execute(
            sa.update(models.Registration)
            .where(models.Registration.id == registration_id, models.Registration.awaits_deployment)
            .values(awaits_deployment=False)
        )
        key = {"registration_id": registration_id, "deployment_id": deployment_id}
        if waited.rowcount == 1 or self.trust_new:  # type: ignore[attr-defined]
            find_or_make(self.db, models.Deployment, key)
            return True
        return self.db.scalars(sa.select(models.Deployment).filter_by(**key)).one_or_none() is not None

    def frame_origins(self) -> tuple[str, ...]:
        """Return the origins of all platforms' pages, which may frame the tool's."""
        origins = {origin for row in self.all() if row.enabled for origin in registration_origins(row)}
        return tuple(sorted(origins))

    def _open(self, registration: Registration) -> Registration:
        return replace(registration, trusts_new_deployments=True) if self.trust_new else registration

    def _used(self, deployment: models.Deployment) -> bool:
        """Return whether people have worked in a deployment."""
        course = sa.select(models.Context.id).filter_by(deployment_id=deployment.id)
        assignment = sa.select(models.Assignment.id).filter_by(deployment_id=deployment.id)
        return any(self.db.scalars(query).first() is not None for query in (course, assignment))

    def _row(self, issuer: str, client_id: str) -> models.Registration | None:
        query = sa.select(models.Registration).filter_by(issuer=issuer, client_id=client_id)
        return self.db.scalars(query.options(selectinload(models.Registration.deployments))).one_or_none()


class Lookup:
    """Finds registrations for the protocol, each in a transaction of its own that is over at once: what
    follows may take long (a platform's keys have to be fetched), and nobody is to wait meanwhile.

    :param reading: gives a session that only reads.
    :param trust_new: see :class:`Platforms`.
    """

    def __init__(
        self, reading: Callable[[], AbstractContextManager[Session]], *, trust_new: bool = False
    ) -> None:
        self.reading = reading
        self.trust_new = trust_new

    def by_client(self, issuer: str, client_id: str) -> Registration | None:
        """Return the registration of a client at an issuer, or None."""
        with self.reading() as db:
            return Platforms(db, trust_new=self.trust_new).by_client(issuer, client_id)

    def by_issuer(self, issuer: str) -> list[Registration]:
        """Return all registrations of an issuer."""
        with self.reading() as db:
            return Platforms(db, trust_new=self.trust_new).by_issuer(issuer)


def _check_ids(*ids: str) -> None:
    """Refuse what an empty variable of a shell makes: no message could ever match it."""
    if not all(each.strip() for each in ids):
        raise PlatformError("issuer, client id and deployment must not be empty")


def _check_urls(urls: Iterable[str], allow_http: bool) -> None:
    for url in urls:
        if not http.is_web_url(url) or not (allow_http or url.startswith("https:")):
            raise PlatformError(f"{url} is not an https URL")


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
        trusts_new_deployments=row.awaits_deployment,
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
        self._lock()
        if self.all():
            return
        self.save(keys.generate(moment))

    def rotate(self, moment: datetime) -> bool:
        """Have a new key take over in a day; return False if one waits to do so already."""
        self._lock()
        changed = keys.rotate(self.all(), moment)
        for key in changed:
            self.save(key)
        return bool(changed)

    def rotate_if_due(self, moment: datetime, lifetime: timedelta) -> bool:
        """Have a new key take over in a day if the one in force is older; return whether it does."""
        return keys.is_due(self.all(), moment, lifetime) and self.rotate(moment)

    def forget_retired(self, moment: datetime) -> None:
        """Delete the keys that are published no more, and their private parts with them."""
        self.db.execute(sa.delete(models.ToolKey).where(models.ToolKey.retires_at <= moment))

    def signer(self, moment: datetime) -> keys.Signer:
        """Return a signer with the key that is in force."""
        return keys.Signer(keys.signing_key(self.all(), moment))

    def _lock(self) -> None:
        """Let nobody else change keys until the transaction ends; SQLite has one writer at a time anyway."""
        if self.db.get_bind().dialect.name == "postgresql":
            self.db.execute(sa.text("LOCK TABLE tool_keys IN EXCLUSIVE MODE"))

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
