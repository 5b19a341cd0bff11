"""What is known of a platform, and how platforms differ: as data, never as a branch on a product's name."""

# ruff: noqa: S106 - the addresses of tokens are no passwords.

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
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
    :param submission_comment: say in a comment, too, when somebody handed in, for gradebooks that show
        nothing else of it.
    :param return_on_top: lead people back in the whole window also from a frame, where the platform's
        session cookie does not come along when another site leads the frame to its pages.
    """

    submit_progress: str = "Completed"
    no_ags_limit: bool = False
    canvas_submission: bool = False
    frame_origins: tuple[str, ...] = ()
    submission_comment: bool = False
    return_on_top: bool = False

    def __post_init__(self) -> None:
        if self.submit_progress not in _PROGRESS:
            raise SettingsError(f"submit_progress is neither of {', '.join(_PROGRESS)}")
        for name in ("no_ags_limit", "submission_comment", "canvas_submission", "return_on_top"):
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
            raise SettingsError(
                f"unknown quirks: {', '.join(unknown)} (there are {', '.join(sorted(known))})"
            )
        values = dict(stored)
        if "frame_origins" in values:
            if not isinstance(values["frame_origins"], list | tuple):
                raise SettingsError("frame_origins is not a list")
            values["frame_origins"] = tuple(values["frame_origins"])
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the quirks as a JSON object."""
        return {**asdict(self), "frame_origins": list(self.frame_origins)}

    def changed(self, given: Mapping[str, str]) -> "Quirks":
        """Return the quirks with values that somebody typed: ``true`` or ``false``, a word, or origins with
        spaces between them.

        :raises SettingsError: for an unknown name or a value of a wrong kind.
        """
        values = self.to_dict()
        for name, text in given.items():
            kind = type(values.get(name))
            if kind is bool:
                values[name] = {"true": True, "false": False}.get(text.lower(), text)
            elif kind is list:
                values[name] = text.split()
            else:
                values[name] = text
        return Quirks.from_dict(values)


@dataclass(frozen=True)
class Family:
    """A vendor's product, and what all its installations have in common.

    Where somebody registers a platform, this is copied into the registration and can be changed there; a
    launch looks at the registration only.

    :param code: its name on the command line and in ``docs/platforms.md``.
    :param name: what people call it.
    :param aliases: other names of it, in lower case; the ``product_family_code`` that it says of itself among
        them, where that is not the code.
    :param token_audience: the ``aud`` of our assertions, None for the token URL.
    :param issuer: the issuer, where the vendor's customers share one.
    :param auth_url: the endpoint, where it is known; ``{issuer}`` and ``{client_id}`` in it stand for the
        registration's. Likewise ``token_url`` and ``jwks_url``.
    """

    code: str
    name: str
    aliases: tuple[str, ...] = ()
    quirks: Quirks = field(default_factory=Quirks)
    token_audience: str | None = None
    issuer: str | None = None
    auth_url: str | None = None
    token_url: str | None = None
    jwks_url: str | None = None

    def endpoints(self, issuer: str, client_id: str) -> dict[str, str]:
        """Return the endpoints that are known for an issuer and a client id, by a registration's names."""
        known = {"auth_url": self.auth_url, "token_url": self.token_url, "jwks_url": self.jwks_url}
        return {
            name: url.replace("{issuer}", issuer.rstrip("/")).replace("{client_id}", client_id)
            for name, url in known.items()
            if url is not None
        }


_FAMILIES = (
    # Instructure's documentation, "Configuring": one issuer and one key set for all accounts that Instructure
    # hosts. A token's audience is the URL that it is asked at (canvas-lms, client_credentials_provider.rb).
    Family(
        "canvas",
        "Canvas",
        quirks=Quirks(canvas_submission=True, frame_origins=("https://*.instructure.com",)),
        issuer="https://canvas.instructure.com",
        auth_url="https://sso.canvaslms.com/api/lti/authorize_redirect",
        token_url="https://sso.canvaslms.com/login/oauth2/token",
        jwks_url="https://sso.canvaslms.com/api/lti/security/jwks",
    ),
    # mod/lti/openid-configuration.php: the issuer is Moodle's wwwroot, the rest lies below it. Of a score
    # without points it keeps the comment alone (gradebookservices.php, save_grade_item). Whoever comes back
    # has to be logged in (mod/lti/return.php), by a cookie that is SameSite=Lax.
    Family(
        "moodle",
        "Moodle",
        quirks=Quirks(no_ags_limit=True, submission_comment=True, return_on_top=True),
        auth_url="{issuer}/mod/lti/auth.php",
        token_url="{issuer}/mod/lti/token.php",
        jwks_url="{issuer}/mod/lti/certs.php",
    ),
    # The vendor's developer portal speaks for all installations; each client has its own key set.
    Family(
        "blackboard",
        "Blackboard Learn",
        ("blackboardlearn",),
        issuer="https://blackboard.com",
        auth_url="https://developer.blackboard.com/api/v1/gateway/oidcauth",
        token_url="https://developer.blackboard.com/api/v1/gateway/oauth2/jwttoken",
        jwks_url="https://developer.blackboard.com/api/v1/management/applications/{client_id}/jwks.json",
    ),
    # Logins and keys are the school's own, tokens the vendor's, and their audience is not where they are.
    Family(
        "d2l",
        "D2L Brightspace",
        ("desire2learn", "brightspace"),
        token_audience="https://api.brightspace.com/auth/token",
        auth_url="{issuer}/d2l/lti/authenticate",
        token_url="https://auth.brightspace.com/core/connect/token",
        jwks_url="{issuer}/d2l/.well-known/jwks",
    ),
    # The token URL ends with the tool's number there, so nobody can know it before (LTIAdminTool.java).
    Family(
        "sakai",
        "Sakai",
        auth_url="{issuer}/imsoidc/lti13/oidc_auth",
        jwks_url="{issuer}/imsblis/lti13/keyset",
    ),
    # Each component, or each reusable configuration, has its own token URL and key set (xblock-lti-consumer,
    # plugin/urls.py).
    Family(
        "openedx",
        "Open edX",
        ("edx",),
        auth_url="{issuer}/api/lti_consumer/v1/launch/",
    ),
    # Schoology's developer documentation, "LTI 1.3 Support and Documentation".
    Family(
        "schoology",
        "Schoology",
        issuer="https://schoology.schoology.com",
        auth_url="https://lti-service.svc.schoology.com/lti-service/authorize-redirect",
        token_url="https://lti-service.svc.schoology.com/lti-service/access-token",
        jwks_url="https://lti-service.svc.schoology.com/lti-service/.well-known/jwks",
    ),
)

#: The product families by their codes.
FAMILIES: Mapping[str, Family] = {family.code: family for family in _FAMILIES}


def family_of(name: str | None) -> Family | None:
    """Return the family of a code or an alias, in whatever case; None if there is none."""
    wanted = (name or "").lower()
    return next((each for each in _FAMILIES if wanted in (each.code, *each.aliases)), None)


def preset(product_family: str | None, **changes: Any) -> Quirks:
    """Return the quirks of a product family, with changes; those of the specifications if it is unknown."""
    family = family_of(product_family)
    return replace(family.quirks if family else Quirks(), **changes)


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
    :param trusts_new_deployments: unless it is to be made known by its first message.
    """

    id: int
    issuer: str
    client_id: str
    auth_url: str
    token_url: str
    jwks_url: str
    token_audience: str | None = None
    deployments: frozenset[str] = frozenset()
    trusts_new_deployments: bool = False
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
