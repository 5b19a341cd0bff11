"""The tables. SQLAlchemy 2; migrations stand beside them and are run by ``ipylti db upgrade``."""

from ipylti.models.audit import AuditEntry
from ipylti.models.courses import Assignment, Blueprint, Context, Member, Person, ResourceLink
from ipylti.models.meta import Base, make_engine, now
from ipylti.models.platforms import Deployment, Invitation, Registration, ToolKey
from ipylti.models.privacy import Erasure
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
    "AuditEntry",
    "Base",
    "Blueprint",
    "Context",
    "Deployment",
    "Erasure",
    "Invitation",
    "Launch",
    "Member",
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
