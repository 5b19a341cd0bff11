"""People's work: workspaces, the launches that open them, submissions, and scores on their way."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ipylti.models.courses import Assignment, Person, ResourceLink
from ipylti.models.meta import Base, now


class WorkspaceKind(StrEnum):
    """What a workspace is for: building an assignment, or taking it."""

    BUILD = "build"
    TAKE = "take"


class SubmissionState(StrEnum):
    """Whether a submission's copy is made."""

    FREEZING = "freezing"
    FROZEN = "frozen"


class OutboxState(StrEnum):
    """Whether the platform has what is for it; FAILED waits for somebody to send it again."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


class Workspace(Base):
    """One working copy of an assignment: one volume, one host name.

    :param person_id: whose it is; None for the build workspace, which the course's teachers share.
    :param copying_since: when its volume was first about to be made. A volume that is there before that is
        of an earlier life of the database, holds somebody's work and is never copied over.
    :param populated_at: when its volume had become a whole copy of the base; before that nobody is let
        in, and the copy can be made again.
    """

    __tablename__ = "workspaces"
    __table_args__ = (sa.UniqueConstraint("assignment_id", "kind", "person_id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    assignment_id: Mapped[str] = mapped_column(sa.ForeignKey("assignments.id"))
    kind: Mapped[str]
    person_id: Mapped[int | None] = mapped_column(sa.ForeignKey("persons.id"), index=True)
    volume: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)
    copying_since: Mapped[datetime | None]
    populated_at: Mapped[datetime | None]

    assignment: Mapped[Assignment] = relationship()
    person: Mapped[Person | None] = relationship()


class Launch(Base):
    """One verified launch: a person, a workspace, and what was true then.

    :param frame_origins: origins of the platform's pages that may frame the notebook.
    :param expires_at: when the launch stops opening anything; people then launch again.
    """

    __tablename__ = "launches"

    id: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(sa.ForeignKey("persons.id"), index=True)
    workspace_id: Mapped[str] = mapped_column(sa.ForeignKey("workspaces.id"), index=True)
    resource_link_id: Mapped[int] = mapped_column(sa.ForeignKey("resource_links.id"))
    staff: Mapped[bool]
    return_url: Mapped[str | None]
    locale: Mapped[str | None]
    due_at: Mapped[datetime | None]
    available_until: Mapped[datetime | None]
    frame_origins: Mapped[list[str]] = mapped_column(default=list)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]

    person: Mapped[Person] = relationship()
    workspace: Mapped[Workspace] = relationship()
    resource_link: Mapped[ResourceLink] = relationship()

    def valid(self, moment: datetime) -> bool:
        """Return whether the launch still opens anything at that moment."""
        return self.revoked_at is None and moment < self.expires_at


class Submission(Base):
    """A frozen, hashed copy of a workspace.

    :param number: counts up from 1 within the workspace.
    :param submitted_at: when the person pressed Submit; kept, however late the platform gets to know.
    :param copying_since: when its copy was first about to be made; see :class:`Workspace`.
    :param digest: SHA-256 (hex) over the copy's manifest, once it is frozen.
    :param manifest: the beginning of that manifest (:mod:`ipylti.servers.copier`), to show what is in it.
    """

    __tablename__ = "submissions"
    __table_args__ = (sa.UniqueConstraint("workspace_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(sa.ForeignKey("workspaces.id"))
    launch_id: Mapped[str] = mapped_column(sa.ForeignKey("launches.id"))
    number: Mapped[int]
    state: Mapped[str] = mapped_column(default=SubmissionState.FREEZING, index=True)
    volume: Mapped[str]
    submitted_at: Mapped[datetime] = mapped_column(default=now)
    copying_since: Mapped[datetime | None]
    frozen_at: Mapped[datetime | None]
    digest: Mapped[str | None]
    manifest: Mapped[str | None] = mapped_column(deferred=True)
    size: Mapped[int | None] = mapped_column(sa.BigInteger)
    files: Mapped[int | None]

    workspace: Mapped[Workspace] = relationship()
    launch: Mapped[Launch] = relationship()
    outbox: Mapped["OutboxItem | None"] = relationship(back_populates="submission")


class OutboxItem(Base):
    """A score on its way to the platform, kept until the platform has it.

    :param timestamp: the score's own time stamp, strictly rising per (resource link, person).
    :param next_at: when it is tried next, while waiting.
    :param resent_at: when somebody sent it again, after it had failed for good.
    :param error: the code of the last failure.
    """

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(primary_key=True)
    submission_id: Mapped[int] = mapped_column(sa.ForeignKey("submissions.id"), unique=True)
    resource_link_id: Mapped[int] = mapped_column(sa.ForeignKey("resource_links.id"))
    person_id: Mapped[int] = mapped_column(sa.ForeignKey("persons.id"))
    state: Mapped[str] = mapped_column(default=OutboxState.WAITING, index=True)
    timestamp: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[datetime] = mapped_column(default=now)
    error: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    resent_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]

    submission: Mapped[Submission] = relationship(back_populates="outbox")
    resource_link: Mapped[ResourceLink] = relationship()
    person: Mapped[Person] = relationship()


sa.Index("ix_outbox_order", OutboxItem.resource_link_id, OutboxItem.person_id, OutboxItem.id)
