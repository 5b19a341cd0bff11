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
    """What one resource link, and its copies, point at.

    :param image: the notebook image, or None for the configured one.
    :param egress: whether servers may reach the outside, or None for what is configured.
    """

    __tablename__ = "assignments"

    id: Mapped[str] = mapped_column(primary_key=True)
    deployment_id: Mapped[int] = mapped_column(sa.ForeignKey("deployments.id"), index=True)
    context_id: Mapped[int | None] = mapped_column(sa.ForeignKey("contexts.id"), index=True)
    title: Mapped[str] = mapped_column(default="")
    image: Mapped[str | None]
    egress: Mapped[bool | None]
    created_at: Mapped[datetime] = mapped_column(default=now)

    deployment: Mapped[Deployment] = relationship()
    context: Mapped[Context | None] = relationship()


class ResourceLink(Base):
    """A link in a course; where its grades go is told anew by each launch."""

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

    deployment: Mapped[Deployment] = relationship()
    assignment: Mapped[Assignment] = relationship()
