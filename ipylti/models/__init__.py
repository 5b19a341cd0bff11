"""The tables. SQLAlchemy 2; migrations stand beside them and are run by ``ipylti db upgrade``."""

from ipylti.models.courses import Assignment, Context, Person, ResourceLink
from ipylti.models.meta import Base, make_engine, now
from ipylti.models.platforms import Deployment, Registration, ToolKey
from ipylti.models.work import (
    Launch,
    OutboxItem,
    OutboxState,
    Submission,
    SubmissionState,
    Workspace,
    WorkspaceKind,
)

__all__ = [
    "Assignment",
    "Base",
    "Context",
    "Deployment",
    "Launch",
    "OutboxItem",
    "OutboxState",
    "Person",
    "Registration",
    "ResourceLink",
    "Submission",
    "SubmissionState",
    "ToolKey",
    "Workspace",
    "WorkspaceKind",
    "make_engine",
    "now",
]
