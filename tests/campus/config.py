"""What a campus is told when it is made: its own addresses and the one tool that it knows."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

AGS_SCOPE = "https://purl.imsglobal.org/spec/lti-ags/scope/"
LINEITEM = AGS_SCOPE + "lineitem"
LINEITEM_READONLY = AGS_SCOPE + "lineitem.readonly"
RESULT_READONLY = AGS_SCOPE + "result.readonly"
SCORE = AGS_SCOPE + "score"

#: Custom parameters that the tool's configuration asks for, with variables that campus fills in (LTI Core
#: 1.3, "Custom properties and variable substitution"). What has no value for a link stays as it stands here.
CUSTOM = {
    "available_from": "$ResourceLink.available.startDateTime",
    "available_until": "$ResourceLink.available.endDateTime",
    "due": "$ResourceLink.submission.endDateTime",
    "context_history": "$Context.id.history",
    "link_history": "$ResourceLink.id.history",
}


@dataclass(frozen=True)
class Config:
    """A platform and its registration of one tool. Empty texts are filled in by :meth:`resolve`.

    :param tool_url: origin of the tool, from which its other addresses follow where they are not given.
    :param client_id: the tool's client id on this platform.
    :param deployment_id: the tool's only deployment.
    :param host: address to listen on.
    :param port: port to listen on; 0 for a free one, None for a campus that is only called in-process.
    :param base_url: campus as browsers see it; also its issuer.
    :param backchannel_url: campus as the tool's server sees it (Python does not resolve `*.localhost`).
    :param login_url: the tool's login initiation endpoint.
    :param target_link_uri: where the tool's links point.
    :param redirect_uris: the registered redirect URIs; compared character by character.
    :param tool_jwks_url: where the tool publishes its keys.
    :param tool_jwks: returns the tool's keys without HTTP; takes the place of `tool_jwks_url`.
    :param token_audience: the audience that a client assertion must name; the token endpoint's URL if empty.
    :param custom: custom parameters of the tool, with variables.
    :param scopes: scopes that the tool may ask for.
    :param token_seconds: lifetime of access tokens, in seconds.
    :param cookie_samesite: `SameSite` of campus' own session cookie. "None" (which adds `Secure`) is for
        tools that come to the authorization endpoint by a script or a form of their own.
    :param control: whether `/_control/...` exists.
    """

    tool_url: str = "http://ipylti.localhost:8000"
    client_id: str = field(default_factory=lambda: "tool-" + secrets.token_hex(8))
    deployment_id: str = "campus-1"
    host: str = "127.0.0.1"
    port: int | None = 0
    base_url: str = ""
    backchannel_url: str = ""
    login_url: str = ""
    target_link_uri: str = ""
    redirect_uris: tuple[str, ...] = ()
    tool_jwks_url: str = ""
    tool_jwks: Callable[[], Mapping[str, Any]] | None = None
    token_audience: str = ""
    custom: Mapping[str, str] = field(default_factory=lambda: dict(CUSTOM))
    scopes: tuple[str, ...] = (LINEITEM, LINEITEM_READONLY, RESULT_READONLY, SCORE)
    token_seconds: int = 3600
    cookie_samesite: str = "Lax"
    control: bool = False

    def resolve(self, port: int | None) -> "Config":
        """A copy in which nothing is empty.

        :param port: the port that campus really listens on, None without one.
        """
        netloc = "" if port is None else f":{port}"
        base = self.base_url or f"http://campus.localhost{netloc}"
        back = self.backchannel_url or (base if port is None else f"http://{self.host}{netloc}")
        tool = self.tool_url.rstrip("/")
        return replace(
            self,
            port=port,
            base_url=base.rstrip("/"),
            backchannel_url=back.rstrip("/"),
            tool_url=tool,
            login_url=self.login_url or f"{tool}/login",
            target_link_uri=self.target_link_uri or f"{tool}/launch",
            redirect_uris=self.redirect_uris or (f"{tool}/launch",),
            tool_jwks_url=self.tool_jwks_url or f"{tool}/.well-known/jwks.json",
            token_audience=self.token_audience or f"{back.rstrip('/')}/token",
        )

    @property
    def issuer(self) -> str:
        """The platform's issuer identifier."""
        return self.base_url

    @property
    def auth_url(self) -> str:
        """The authorization endpoint: the one address to which a tool sends browsers."""
        return f"{self.base_url}/auth"

    @property
    def jwks_url(self) -> str:
        """The platform's public keys."""
        return f"{self.backchannel_url}/jwks"

    @property
    def token_url(self) -> str:
        """The token endpoint."""
        return f"{self.backchannel_url}/token"
