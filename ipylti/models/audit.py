"""Who did what to whose work."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from ipylti.models.meta import Base, now


class AuditEntry(Base):
    """One act. Nobody's name stands in it, and no row of another table is needed to keep it.

    :param action: what was done, like ``submission opened``.
    :param actor_kind: :class:`ipylti.trace.ActorKind`; ``actor`` is the name that goes with it.
    :param person_id: who did it, where it was a person of a course.
    :param owner_id: whose work it was done to; None for what belongs to a course or to nobody.
    :param details: what else there is to know.
    :param request_id: finds the log's lines.
    """

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)
    action: Mapped[str]
    actor_kind: Mapped[str]
    actor: Mapped[str]
    person_id: Mapped[int | None] = mapped_column(index=True)
    owner_id: Mapped[int | None] = mapped_column(index=True)
    workspace_id: Mapped[str | None] = mapped_column(index=True)
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    request_id: Mapped[str] = mapped_column(default="")
