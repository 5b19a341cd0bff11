"""What a campus is told when it is made: its own addresses and the one tool that it knows."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .families import CAMPUS, Behaviour
from .scopes import LINEITEM, LINEITEM_READONLY, MEMBERS, RESULT_READONLY, SCORE
from .shapes import origin_of

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

    :param registered: whether the tool is known from the beginning. Else campus has none until one registers.
    :param new_tools_pending: whether a tool that registers has to be switched on by the administrator. None:
        as the behaviour says.
    :param tool_title: what the tool is called.
    :param tool_url: origin of the tool, from which its other addresses follow where they are not given.
    :param client_id: the tool's client id on this platform.
    :param deployment_id: the tool's only deployment.
    :param host: address to listen on.
    :param port: port to listen on; 0 for a free one, None for a campus that is only called in-process.
    :param base_url: campus as browsers see it; also its issuer. `{port}` in it stands for the port.
    :param backchannel_url: campus as the tool's server sees it (Python does not resolve `*.localhost`).
    :param login_url: the tool's login initiation endpoint.
    :param target_link_uri: where the tool's links point.
    :param deep_linking_url: where the tool has its content chosen; `target_link_uri` if empty.
    :param redirect_uris: the registered redirect URIs; compared character by character.
    :param tool_jwks_url: where the tool publishes its keys.
    :param tool_jwks: returns the tool's keys without HTTP; takes the place of `tool_jwks_url`.
    :param token_audience: the audience that a client assertion must name; the token endpoint's URL if empty.
    :param custom: custom parameters of the tool, with variables.
    :param scopes: scopes that campus offers.
    :param allowed_scopes: those that this tool may ask for; all of them if None.
    :param page_size: the most that a service lists at once, also where nobody asks for a limit.
    :param member_names: whether the roster has names and e-mail addresses.
    :param storage: where the tool may keep its state if its cookies are refused: `_parent`, or the name of a
        frame beside the tool's; nowhere if empty. None: where the behaviour says.
    :param token_seconds: lifetime of access tokens, in seconds.
    :param cookie_samesite: `SameSite` of campus' own session cookie. "None" (which adds `Secure`) is for
        tools that come to the authorization endpoint by a script or a form of their own.
    :param control: whether `/_control/...` exists.
    :param behaviour: where it does as another product does.
    """

    registered: bool = True
    new_tools_pending: bool | None = None
    tool_title: str = "The tool"
    tool_url: str = "http://ipylti.localhost:8000"
    client_id: str = field(default_factory=lambda: "tool-" + secrets.token_hex(8))
    deployment_id: str = "campus-1"
    host: str = "127.0.0.1"
    port: int | None = 0
    base_url: str = ""
    backchannel_url: str = ""
    login_url: str = ""
    target_link_uri: str = ""
    deep_linking_url: str = ""
    redirect_uris: tuple[str, ...] = ()
    tool_jwks_url: str = ""
    tool_jwks: Callable[[], Mapping[str, Any]] | None = None
    token_audience: str = ""
    custom: Mapping[str, str] = field(default_factory=lambda: dict(CUSTOM))
    scopes: tuple[str, ...] = (LINEITEM, LINEITEM_READONLY, RESULT_READONLY, SCORE, MEMBERS)
    allowed_scopes: tuple[str, ...] | None = None
    page_size: int | None = None
    member_names: bool = True
    storage: str | None = None
    token_seconds: int = 3600
    cookie_samesite: str = "Lax"
    control: bool = False
    behaviour: Behaviour = CAMPUS

    def resolve(self, port: int | None) -> "Config":
        """A copy in which nothing is empty.

        :param port: the port that campus really listens on, None without one.
        """
        netloc = "" if port is None else f":{port}"
        base = self.base_url.replace("{port}", str(port)) or f"http://campus.localhost{netloc}"
        back = self.backchannel_url or (base if port is None else f"http://{self.host}{netloc}")
        tool = self.tool_url.rstrip("/")
        target = self.target_link_uri or f"{tool}/launch"
        audience = self.token_audience or self.behaviour.token_audience
        return replace(
            self,
            port=port,
            client_id=self.client_id if self.registered else "",
            base_url=base.rstrip("/"),
            backchannel_url=back.rstrip("/"),
            tool_url=tool,
            login_url=self.login_url or f"{tool}/login",
            target_link_uri=target,
            new_tools_pending=self.behaviour.new_tools_pending
            if self.new_tools_pending is None
            else self.new_tools_pending,
            storage=self.behaviour.storage if self.storage is None else self.storage,
            deep_linking_url=self.deep_linking_url or target,
            redirect_uris=self.redirect_uris or (f"{tool}/launch",),
            tool_jwks_url=self.tool_jwks_url or f"{tool}/.well-known/jwks.json",
            token_audience=audience or f"{back.rstrip('/')}/token",
        )

    @property
    def issuer(self) -> str:
        """The platform's issuer identifier."""
        return self.behaviour.issuer or self.base_url

    @property
    def auth_url(self) -> str:
        """The authorization endpoint: the one address to which a tool sends browsers."""
        return f"{self.base_url}/auth"

    @property
    def jwks_url(self) -> str:
        """The platform's public keys."""
        return f"{self.backchannel_url}/jwks"

    @property
    def openid_configuration_url(self) -> str:
        """Where a tool that registers reads about the platform: on the issuer's host."""
        return f"{self.base_url}/.well-known/openid-configuration"

    @property
    def registration_url(self) -> str:
        """Where a tool registers."""
        return f"{self.backchannel_url}/register"

    @property
    def granted_scopes(self) -> tuple[str, ...]:
        """The scopes that launches offer to this tool."""
        allowed = self.scopes if self.allowed_scopes is None else self.allowed_scopes
        return tuple(scope for scope in allowed if scope not in self.behaviour.unoffered_scopes)

    @property
    def tool_origins(self) -> frozenset[str]:
        """The origins on which the tool's links may lie."""
        return frozenset({origin_of(self.target_link_uri), origin_of(self.deep_linking_url)})

    @property
    def token_url(self) -> str:
        """The token endpoint."""
        return f"{self.backchannel_url}/token"
