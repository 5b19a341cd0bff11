"""Courses, people and assignments, as the platforms tell of them."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ipylti.models.meta import Base, now
from ipylti.models.platforms import Deployment


class Context(Base):
    """A course."""

    __tablename__ = "contexts"
    __table_args__ = (sa.UniqueConstraint("deployment_id", "context_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    deployment_id: Mapped[int] = mapped_column(sa.ForeignKey("deployments.id"))
    context_id: Mapped[str]
    title: Mapped[str] = mapped_column(default="")

    deployment: Mapped[Deployment] = relationship()


class Person(Base):
    """Somebody as one registration knows them: (issuer, client id, ``sub``), never an e-mail address."""

    __tablename__ = "persons"
    __table_args__ = (sa.UniqueConstraint("registration_id", "sub"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    registration_id: Mapped[int] = mapped_column(sa.ForeignKey("registrations.id"))
    sub: Mapped[str]
    name: Mapped[str] = mapped_column(default="")
    test_user: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Assignment(Base):
    """What a resource link points at.

    :param image: the notebook image, or None for the configured one.
    :param egress: whether servers may reach the outside, or None for what is configured.
    :param memory: bytes that each server may use, as a teacher chose, or None for what is configured.
    :param cpus: cores, likewise.
    :param due_at: the teacher's own due date; one that the platform tells goes before it.
    :param maximum: points of its column in the gradebook, None where nobody said.
    :param blueprint_id: the :class:`Blueprint` that it was made after.
    :param source_id: the assignment whose base this one's is a copy of.
    """

    __tablename__ = "assignments"

    id: Mapped[str] = mapped_column(primary_key=True)
    deployment_id: Mapped[int] = mapped_column(sa.ForeignKey("deployments.id"), index=True)
    context_id: Mapped[int | None] = mapped_column(sa.ForeignKey("contexts.id"), index=True)
    title: Mapped[str] = mapped_column(default="")
    image: Mapped[str | None]
    egress: Mapped[bool | None]
    memory: Mapped[int | None] = mapped_column(sa.BigInteger)
    cpus: Mapped[float | None]
    due_at: Mapped[datetime | None]
    maximum: Mapped[float | None]
    blueprint_id: Mapped[str | None] = mapped_column(index=True)
    source_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=now)

    deployment: Mapped[Deployment] = relationship()
    context: Mapped[Context | None] = relationship()


class Blueprint(Base):
    """What a teacher chose when adding an assignment by Deep Linking.

    A link carries its id, and so do the link's copies; each of these links gets an assignment of its own
    that is made after it.

    :param person_id: who that was; None where the person was erased.
    :param image: as in :class:`Assignment`, and so are the other columns of that name.
    """

    __tablename__ = "blueprints"

    id: Mapped[str] = mapped_column(primary_key=True)
    deployment_id: Mapped[int] = mapped_column(sa.ForeignKey("deployments.id"), index=True)
    context_id: Mapped[int | None] = mapped_column(sa.ForeignKey("contexts.id"), index=True)
    person_id: Mapped[int | None] = mapped_column(sa.ForeignKey("persons.id"))
    title: Mapped[str]
    image: Mapped[str | None]
    egress: Mapped[bool | None]
    memory: Mapped[int | None] = mapped_column(sa.BigInteger)
    cpus: Mapped[float | None]
    due_at: Mapped[datetime | None]
    maximum: Mapped[float | None]
    source_id: Mapped[str | None] = mapped_column(sa.ForeignKey("assignments.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)

    context: Mapped[Context | None] = relationship()


class ResourceLink(Base):
    """A link in a course; where its grades go, and who is in it, is told anew by each launch.

    :param memberships_url: where the platform lists the course's people.
    :param roster_at: when that list was last read.
    """

    __tablename__ = "resource_links"
    __table_args__ = (sa.UniqueConstraint("deployment_id", "resource_link_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    deployment_id: Mapped[int] = mapped_column(sa.ForeignKey("deployments.id"))
    resource_link_id: Mapped[str]
    assignment_id: Mapped[str] = mapped_column(sa.ForeignKey("assignments.id"), index=True)
    title: Mapped[str] = mapped_column(default="")
    description: Mapped[str] = mapped_column(default="")
    line_item: Mapped[str | None]
    line_items: Mapped[str | None]
    scopes: Mapped[list[str]] = mapped_column(default=list)
    memberships_url: Mapped[str | None]
    roster_at: Mapped[datetime | None]

    deployment: Mapped[Deployment] = relationship()
    assignment: Mapped[Assignment] = relationship()


class Member(Base):
    """Somebody who may open a link, as the platform's roster says; it gives nobody a right to anything.

    :param roles: as the platform writes them.
    :param active: whether the person is still in the course.
    """

    __tablename__ = "members"
    __table_args__ = (sa.UniqueConstraint("resource_link_id", "sub"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    resource_link_id: Mapped[int] = mapped_column(sa.ForeignKey("resource_links.id"))
    sub: Mapped[str]
    name: Mapped[str] = mapped_column(default="")
    roles: Mapped[list[str]] = mapped_column(default=list)
    active: Mapped[bool] = mapped_column(default=True)
