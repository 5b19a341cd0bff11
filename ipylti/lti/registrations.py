"""What is known of a platform, and how platforms differ: as data, never as a branch on a product's name."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Protocol

from ipylti.errors import SettingsError
from ipylti.http import is_web_url, origin

_PROGRESS = ("Completed", "Submitted")


@dataclass(frozen=True)
class Quirks:
    """Where a platform wants something else than the specifications say.

    :param submit_progress: the ``activityProgress`` that says "handed in": ``Completed`` or ``Submitted``.
    :param no_ags_limit: never send ``limit`` to its line item container (Moodle pages wrongly with it).
    :param canvas_submission: send ``https://canvas.instructure.com/lti/submission`` with a score.
    :param frame_origins: origins, beside those of its URLs, on which its pages frame the tool; as in a
        Content-Security-Policy, so ``https://*.example.org`` is one.
    """

    submit_progress: str = "Completed"
    no_ags_limit: bool = False
    canvas_submission: bool = False
    frame_origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.submit_progress not in _PROGRESS:
            raise SettingsError(f"submit_progress is neither of {', '.join(_PROGRESS)}")
        for name in ("no_ags_limit", "canvas_submission"):
            if not isinstance(getattr(self, name), bool):
                raise SettingsError(f"{name} is neither true nor false")
        for each in self.frame_origins:
            # A space or semicolon would end the directive that the origin is written into.
            bare = each.replace("://*.", "://") if isinstance(each, str) else ""
            if not is_web_url(bare) or origin(bare) != bare or set(bare) & set(";,'\"*"):
                raise SettingsError("frame_origins holds something that is not an origin")

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Quirks":
        """Return the quirks that :meth:`to_dict` gave.

        :raises SettingsError: for an unknown name or a value of a wrong kind.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(stored) - known)
        if unknown:
            raise SettingsError(f"unknown quirks: {', '.join(unknown)}")
        values = dict(stored)
        if "frame_origins" in values:
            if not isinstance(values["frame_origins"], list | tuple):
                raise SettingsError("frame_origins is not a list")
            values["frame_origins"] = tuple(values["frame_origins"])
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the quirks as a JSON object."""
        return {**asdict(self), "frame_origins": list(self.frame_origins)}


#: By the ``product_family_code`` that a platform says of itself. Where somebody registers a platform, the
#: preset is copied into the registration and can be changed there; a launch looks at the registration only.
PRESETS: Mapping[str, Quirks] = {
    "canvas": Quirks(canvas_submission=True, frame_origins=("https://*.instructure.com",)),
    "moodle": Quirks(no_ags_limit=True),
}


def preset(product_family: str | None, **changes: Any) -> Quirks:
    """Return the quirks of a product family, with changes; those of the specifications if it is unknown."""
    return replace(PRESETS.get((product_family or "").lower(), Quirks()), **changes)


@dataclass(frozen=True)
class Registration:
    """One platform's registration of this tool (LTI Core 1.3, 3.1.3; Security Framework 1.0, 5.1.1).

    Endpoints and keys belong to (issuer, client id), never to the issuer alone: some vendors share one
    issuer among all their customers.

    :param id: the database's key.
    :param auth_url: the OpenID Connect authorization endpoint.
    :param token_url: where access tokens come from.
    :param jwks_url: where the platform publishes its keys.
    :param token_audience: the ``aud`` of our assertions, None for the token URL.
    :param deployments: the deployment ids that are known; a message of another one is refused.
    """

    id: int
    issuer: str
    client_id: str
    auth_url: str
    token_url: str
    jwks_url: str
    token_audience: str | None = None
    deployments: frozenset[str] = frozenset()
    quirks: Quirks = Quirks()

    @property
    def frame_origins(self) -> tuple[str, ...]:
        """The origins that may frame the tool for this platform: its issuer's, its login's, its quirks'."""
        own = [origin(url) for url in (self.issuer, self.auth_url) if is_web_url(url)]
        return tuple(dict.fromkeys([*own, *self.quirks.frame_origins]))


class Registrations(Protocol):
    """Where registrations are found."""

    def by_client(self, issuer: str, client_id: str) -> Registration | None:
        """Return the registration of exactly this issuer and client id."""

    def by_issuer(self, issuer: str) -> list[Registration]:
        """Return all registrations of exactly this issuer."""
