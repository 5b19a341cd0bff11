"""What is to be gone, and what is gone."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from ipylti.models.meta import Base, now


class Erasure(Base):
    """A person or a course that somebody had erased: it stays, so that no backup brings it back.

    :param digest: a hash of what the platform calls them (:mod:`ipylti.privacy.erasing`).
    :param done_at: when nothing was left; None while it is being done, and nobody of theirs may launch.
    """

    __tablename__ = "erasures"

    digest: Mapped[str] = mapped_column(primary_key=True)
    begun_at: Mapped[datetime] = mapped_column(default=now)
    done_at: Mapped[datetime | None]
