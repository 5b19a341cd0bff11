"""Queries that need more than a line."""

from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from ipylti.models.meta import Base

M = TypeVar("M", bound=Base)

_INSERTS: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


def find_or_make(db: Session, model: type[M], key: dict[str, Any], **values: Any) -> M:
    """Return the one row with this key, made if it is not there; whoever comes second finds the first's.

    :param key: the columns of a unique constraint.
    :param values: the other columns of a new row; they do not change a row that is there.
    """
    query = sa.select(model).filter_by(**key)
    found = db.scalars(query).one_or_none()
    if found is not None:
        return found
    db.flush()
    insert = _INSERTS[db.get_bind().dialect.name]
    db.execute(insert(model).values(**key, **values).on_conflict_do_nothing())
    return db.scalars(query).one()
