"""Deep Linking 2.0: the answer to a platform that asks what a new link in a course is to open."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from ipylti.errors import IpyltiError
from ipylti.lti import claims
from ipylti.lti.keys import Signer
from ipylti.lti.messages import LTI_VERSION, DeepLinkingMessage
from ipylti.lti.parts import DeepLinkingSettings
from ipylti.lti.scores import rfc3339

RESPONSE = "LtiDeepLinkingResponse"

#: The kind of content item that the tool has to offer.
LINK = "ltiResourceLink"

#: Tag of the line items that the tool makes: one for each link (AGS 2.0, "tag").
TAG = "ipylti"

#: How long an answer is good for.
LIFETIME = timedelta(minutes=5)

#: How far its beginning lies back. Moodle refuses what its clock says is of the future, by a second even.
BACKDATED = timedelta(seconds=5)

#: With which progress there is something handed in to look at (Submission Review 1.0, "submissionReview").
REVIEWABLE = ("Submitted", "Completed")


@dataclass(frozen=True)
class DeepLinkingReturn:
    """What has to be kept of a request until it is answered.

    :param client_id: ours, the answer's issuer.
    :param issuer: the platform's, the answer's audience.
    :param accept_line_item: see :class:`ipylti.lti.parts.DeepLinkingSettings`; likewise ``data``.
    """

    client_id: str
    issuer: str
    deployment_id: str
    return_url: str
    accept_line_item: bool | None
    data: str | None

    @classmethod
    def of(cls, message: DeepLinkingMessage) -> "DeepLinkingReturn":
        """Return what is to be kept of a message."""
        return cls(
            client_id=message.registration.client_id,
            issuer=message.registration.issuer,
            deployment_id=message.deployment_id,
            return_url=message.settings.return_url,
            accept_line_item=message.settings.accept_line_item,
            data=message.settings.data,
        )

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "DeepLinkingReturn":
        """Return what :meth:`to_dict` gave."""
        return cls(**stored)

    def to_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def require_links(settings: DeepLinkingSettings) -> None:
    """Return if the platform takes what the tool has to offer.

    :raises IpyltiError: ``deep_linking.not_accepted``.
    """
    if LINK not in settings.accept_types:
        raise IpyltiError("no ltiResourceLink is accepted", code="deep_linking.not_accepted")


def content_item(
    *, launch_url: str, title: str, assignment: str, maximum: float | None, due_at: datetime | None
) -> dict[str, Any]:
    """Return the content item of a link (Deep Linking 2.0, "LTI Resource Link").

    :param assignment: the id that the link's launches bring back.
    :param maximum: points of the link's line item, None for a link without one.
    :param due_at: an own due date, which the platform may take over; the variables that the item brings along
        have it tell its own.
    """
    item: dict[str, Any] = {
        "type": LINK,
        "url": launch_url,
        "title": title,
        "custom": {claims.CUSTOM_ASSIGNMENT: assignment, **claims.CUSTOM_FIELDS},
    }
    if maximum is not None:
        item["lineItem"] = {
            "label": title,
            "scoreMaximum": maximum,
            "resourceId": assignment,
            "tag": TAG,
            "submissionReview": {"reviewableStatus": list(REVIEWABLE)},
        }
    if due_at is not None:
        item["submission"] = {"endDateTime": rfc3339(due_at)}
    return item


def response(
    kept: DeepLinkingReturn, items: Sequence[Mapping[str, Any]], signer: Signer, moment: datetime
) -> str:
    """Return the signed answer, to be posted as ``JWT`` to the return URL.

    :param items: none where the person cancelled.
    """
    begins = int((moment - BACKDATED).timestamp())
    content: dict[str, Any] = {
        "iss": kept.client_id,
        "aud": kept.issuer,
        "iat": begins,
        "exp": begins + int(LIFETIME.total_seconds()),
        "nonce": secrets.token_urlsafe(24),
        claims.DEPLOYMENT_ID: kept.deployment_id,
        claims.MESSAGE_TYPE: RESPONSE,
        claims.VERSION: LTI_VERSION,
        claims.CONTENT_ITEMS: [dict(item) for item in items],
    }
    # An empty text is one, too: what was given comes back.
    if kept.data is not None:
        content[claims.DEEP_LINKING_DATA] = kept.data
    return signer.sign(content)
