"""Platforms that are connected, and the tool's own keys."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ipylti.models.meta import Base, now


class Registration(Base):
    """The tool as one platform knows it: endpoints and keys belong to (``issuer``, ``client_id``).

    :param name: what people call the platform; for lists.
    :param awaits_deployment: whether the first deployment that launches is to be taken: an administrator's
        invitation made this registration, and the platform did not say which deployments there are.
    """

    __tablename__ = "registrations"
    __table_args__ = (sa.UniqueConstraint("issuer", "client_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    issuer: Mapped[str]
    client_id: Mapped[str]
    auth_url: Mapped[str]
    token_url: Mapped[str]
    jwks_url: Mapped[str]
    token_audience: Mapped[str | None]
    name: Mapped[str] = mapped_column(default="", server_default="")
    awaits_deployment: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    quirks: Mapped[dict[str, Any]] = mapped_column(default=dict)
    enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(default=now)

    deployments: Mapped[list["Deployment"]] = relationship(
        back_populates="registration", cascade="all, delete-orphan", order_by="Deployment.id"
    )


class Deployment(Base):
    """One place of a platform where the tool was put; the platform tells its ``deployment_id``."""

    __tablename__ = "deployments"
    __table_args__ = (sa.UniqueConstraint("registration_id", "deployment_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    registration_id: Mapped[int] = mapped_column(sa.ForeignKey("registrations.id"))
    deployment_id: Mapped[str]

    registration: Mapped[Registration] = relationship(back_populates="deployments")


class Invitation(Base):
    """A dynamic registration that an administrator of the tool has allowed: once, and not for ever.

    :param digest: SHA-256 (hex) of the token in the invitation's URL.
    :param used_at: when it was taken; from then on it is good for nothing.
    :param registration_id: what it became.
    """

    __tablename__ = "invitations"

    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    registration_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("registrations.id", ondelete="SET NULL")
    )


class ToolKey(Base):
    """A key pair that the tool signs with; ``private`` is the JSON Web Key."""

    __tablename__ = "tool_keys"

    kid: Mapped[str] = mapped_column(primary_key=True)
    private: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    activates_at: Mapped[datetime]
    retires_at: Mapped[datetime | None]
