"""What a volume's label says of the work in it, so that it is found again where the database is lost.

A volume's name is a hash of what the platform says, which nobody can read back; so the platform's own ids go
along, beside the settings that a launch does not tell anew. A label can't be changed: it says what was true
when the volume was made. What belongs to one person has that person's ``sub``, and no name; what is a
course's has nobody's.
"""

import base64
import json
from dataclasses import asdict, dataclass, fields
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import object_session

from ipylti import ids, models

#: Characters of a title that are kept.
_TITLE = 200


@dataclass(frozen=True)
class About:
    """A volume's work.

    :param link: the resource link's id; ``context``: the course's, "" for none.
    :param sub: whose it is, "" for a base.
    :param blueprint: the blueprint's id, "" for none.
    :param image: as in :class:`ipylti.models.Assignment`, and so are those up to ``maximum``.
    :param number: of a submission, 0 for anything else; and when it was handed in.
    """

    issuer: str
    client_id: str
    deployment: str
    link: str
    context: str = ""
    course: str = ""
    title: str = ""
    sub: str = ""
    blueprint: str = ""
    image: str | None = None
    egress: bool | None = None
    memory: int | None = None
    cpus: float | None = None
    due_at: str | None = None
    maximum: float | None = None
    number: int = 0
    submitted_at: str | None = None

    @property
    def assignment(self) -> str:
        """The assignment's id."""
        return ids.assignment_id(self.issuer, self.client_id, self.deployment, self.link)

    @property
    def workspace(self) -> str:
        """The workspace's id."""
        parts = (self.issuer, self.client_id, self.deployment, self.link)
        return ids.workspace_id(*parts, self.sub) if self.sub else self.assignment

    def encoded(self) -> str:
        """Return the label's text."""
        usual = {field.name: field.default for field in fields(self)}
        told = {name: value for name, value in asdict(self).items() if value != usual[name]}
        return base64.urlsafe_b64encode(json.dumps(told, sort_keys=True).encode()).decode()


def of_workspace(workspace: models.Workspace) -> str:
    """Return the label's text for a workspace's volume."""
    return _of(workspace).encoded() if object_session(workspace) is not None else ""


def of_submission(submission: models.Submission) -> str:
    """Return the label's text for a submission's volume."""
    told = asdict(_of(submission.workspace))
    told |= {"number": submission.number, "submitted_at": submission.submitted_at.isoformat()}
    return About(**told).encoded()


def read(text: str) -> About | None:
    """Read a label; None for one that is not of this kind."""
    try:
        told = json.loads(base64.urlsafe_b64decode(text))
        found = About(**told)
    except (ValueError, TypeError):
        return None
    right = all(isinstance(getattr(found, field.name), str) for field in fields(About)[:9])
    return found if right else None


def moment(text: str | None) -> datetime | None:
    """Read a point in time of a label."""
    return None if text is None else datetime.fromisoformat(text)


def _of(workspace: models.Workspace) -> About:
    db = object_session(workspace)
    assert db is not None
    assignment = workspace.assignment
    deployment, context = assignment.deployment, assignment.context
    link = sa.select(models.ResourceLink.resource_link_id).filter_by(assignment_id=assignment.id)
    return About(
        issuer=deployment.registration.issuer,
        client_id=deployment.registration.client_id,
        deployment=deployment.deployment_id,
        link=db.scalars(link.limit(1)).first() or "",
        context=context.context_id if context else "",
        course=context.title[:_TITLE] if context else "",
        title=assignment.title[:_TITLE],
        sub=workspace.person.sub if workspace.person else "",
        blueprint=assignment.blueprint_id or "",
        image=assignment.image,
        egress=assignment.egress,
        memory=assignment.memory,
        cpus=assignment.cpus,
        due_at=assignment.due_at.isoformat() if assignment.due_at else None,
        maximum=assignment.maximum,
    )
