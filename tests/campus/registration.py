"""Dynamic Registration 1.0: what campus says of itself, and what tools say of themselves, read strictly."""

import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from .config import Config
from .errors import Refused
from .invitations import Invitations
from .registry import ACTIVE, PENDING, Registry
from .shapes import Fields, bad, origin_of, read_object

TOOL = "https://purl.imsglobal.org/spec/lti-tool-configuration"
PLATFORM = "https://purl.imsglobal.org/spec/lti-platform-configuration"
CLAIMS = ("sub", "iss", "name", "given_name", "family_name", "email", "locale")
MESSAGES = ("LtiResourceLinkRequest", "LtiDeepLinkingRequest", "LtiSubmissionReviewRequest")
VARIABLES = (
    "User.id", "Person.name.full", "Context.id", "Context.label", "Context.title", "Context.id.history",
    "ResourceLink.id", "ResourceLink.title", "ResourceLink.description", "ResourceLink.id.history",
    "ResourceLink.available.startDateTime", "ResourceLink.available.endDateTime",
    "ResourceLink.submission.endDateTime",
)  # fmt: skip

_CLIENT_MEMBERS = (
    "application_type", "grant_types", "response_types", "initiate_login_uri", "redirect_uris", "client_name",
    "jwks_uri", "token_endpoint_auth_method", "scope", "logo_uri", "client_uri", "policy_uri", "tos_uri",
    "contacts",
)  # fmt: skip
_TOOL_MEMBERS = (
    "domain", "secondary_domains", "target_link_uri", "description", "messages", "claims",
    "custom_parameters", "deployment_id",
)  # fmt: skip
_MESSAGE_MEMBERS = (
    "type", "target_link_uri", "label", "icon_uri", "custom_parameters", "roles", "placements",
)  # fmt: skip
#: Members that may be said in several languages.
_FOR_PEOPLE = (
    "client_name", "client_uri", "logo_uri", "policy_uri", "tos_uri", "description", "label", "icon_uri",
)  # fmt: skip


@dataclass(frozen=True)
class Tool:
    """What a tool said of itself, checked.

    :param raw: the whole request, to be sent back as it came.
    """

    name: str
    login_url: str
    target_link_uri: str
    deep_linking_url: str
    redirect_uris: tuple[str, ...]
    jwks_url: str
    scopes: tuple[str, ...]
    custom: dict[str, str]
    raw: dict[str, Any] = field(hash=False)


class Registrar:
    """Registers tools; safe to use from several threads.

    :param registry: where what was registered takes the place of what campus was told when it was made.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._invitations = Invitations()

    # The administrator's side

    def invite(self) -> dict[str, str]:
        """The two parameters with which an administrator's browser opens a tool's registration URL."""
        config, token = self._registry.config, self._invitations.make()
        address = config.openid_configuration_url
        if config.behaviour.configuration_token:
            address += "?" + urlencode({"registration_token": token})
        return {"openid_configuration": address, "registration_token": token}

    def registration_url(self, url: str) -> str:
        """A tool's registration URL with what belongs into its query.

        :raises Refused: 400 for something that is no http(s) URL.
        """
        if not origin_of(url):
            raise bad("the registration URL is not an http(s) URL")
        parts = urlsplit(url)
        query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *self.invite().items()])
        return parts._replace(query=query, fragment="").geturl()

    # The tool's side

    def configuration(self, token: str | None) -> dict[str, Any]:
        """The platform's configuration (Dynamic Registration 1.0, "Platform configuration").

        :param token: the registration token of the request, if it has one.
        :raises Refused: 401 where it needs one.
        """
        config = self._registry.config
        if config.behaviour.configuration_token:
            self._invitations.look(token)
        announced = config.behaviour.review_messages and not config.behaviour.review_on_request
        types = MESSAGES if announced else MESSAGES[:2]
        messages: list[Any] = [{"type": name} for name in types]
        server = {"authorization_server": config.token_audience}
        return {
            "issuer": config.issuer,
            "authorization_endpoint": config.auth_url,
            "token_endpoint": config.token_url,
            **(server if config.token_audience != config.token_url else {}),
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
            "jwks_uri": config.jwks_url,
            "registration_endpoint": config.registration_url,
            "scopes_supported": ["openid", *config.granted_scopes],
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public", "pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "claims_supported": list(CLAIMS),
            PLATFORM: {
                "product_family_code": config.behaviour.family,
                "version": "1",
                "messages_supported": list(types) if config.behaviour.bare_messages else messages,
                "variables": list(VARIABLES),
            },
        }

    def register(self, token: str | None, body: bytes) -> tuple[Tool, dict[str, Any]]:
        """Register a tool in the place of the one that was there (RFC 7591, section 3).

        :returns: the tool, and the answer.
        :raises Refused: 401 for the token, 400 for what the tool says; a token is used up only by a success.
        """
        self._invitations.look(token)
        config = self._registry.config
        tool = read_tool(read_object(body), config)
        self._invitations.spend(token)
        config = self._registry.register(
            PENDING if config.new_tools_pending else ACTIVE,
            tool_url=urlsplit(tool.target_link_uri)._replace(path="", query="", fragment="").geturl(),
            tool_title=tool.name,
            client_id="client-" + secrets.token_hex(8),
            login_url=tool.login_url,
            target_link_uri=tool.target_link_uri,
            deep_linking_url=tool.deep_linking_url,
            redirect_uris=tool.redirect_uris,
            tool_jwks_url=tool.jwks_url,
            custom=tool.custom,
            allowed_scopes=tool.scopes,
        )
        return tool, self._answer(tool, config)

    @staticmethod
    def _answer(tool: Tool, config: Config) -> dict[str, Any]:
        told = dict(tool.raw[TOOL])
        if config.behaviour.registration_deployment:
            told["deployment_id"] = config.deployment_id
        return {
            **tool.raw,
            "client_id": config.client_id,
            "scope": " ".join(tool.scopes),
            TOOL: told,
        }


def read_tool(body: dict[str, Any], config: Config) -> Tool:
    """A registration request, checked as strictly as any platform does it.

    :raises Refused: 400 with a code of RFC 7591, section 3.2.2.
    """
    client = Fields(body)
    try:
        client.known_only(*_CLIENT_MEMBERS, *_translated(client))
        _check_client(client)
        redirect_uris = _redirect_uris(client)
        settings = client.object(TOOL)
        if settings is None:
            raise bad(f"{TOOL} is missing")
        target = _check_settings(settings, config.behaviour.domain_with_port)
        messages = _messages(settings, origin_of(target))
        return Tool(
            name=client.text("client_name", required=True),
            login_url=client.url("initiate_login_uri", required=True),
            target_link_uri=target,
            deep_linking_url=messages.get("LtiDeepLinkingRequest", target),
            redirect_uris=redirect_uris,
            jwks_url=client.url("jwks_uri", required=True),
            scopes=_scopes(client, config),
            custom=settings.text_map("custom_parameters"),
            raw=body,
        )
    except Refused as err:
        code = "invalid_redirect_uri" if "redirect_uris" in err.reason else "invalid_client_metadata"
        raise Refused(400, code, err.reason) from err


def _translated(fields: Fields) -> tuple[str, ...]:
    """Members in a language: `client_name#de` (OpenID Connect Registration, section 2.1)."""
    return tuple(name for name in fields.body if name.partition("#")[0] in _FOR_PEOPLE)


def _check_client(client: Fields) -> None:
    """The members that OpenID Connect knows, as LTI narrows them."""
    client.one_of("application_type", ("web",))
    client.one_of("token_endpoint_auth_method", ("private_key_jwt",))
    for name, wanted in (
        ("response_types", {"id_token"}),
        ("grant_types", {"implicit", "client_credentials"}),
    ):
        if not wanted <= set(client.strings(name)):
            raise bad(f"{name} lacks {' or '.join(sorted(wanted))}")
    for name in ("logo_uri", "client_uri", "policy_uri", "tos_uri"):
        client.url(name)
    client.strings("contacts")


def _redirect_uris(client: Fields) -> tuple[str, ...]:
    found = client.strings("redirect_uris")
    if not found:
        raise bad("redirect_uris is missing or empty")
    for each in found:
        if not origin_of(each) or "#" in each:
            raise bad(f"redirect_uris has '{each}', which is not an http(s) URL without a fragment")
    return found


def _check_settings(settings: Fields, with_port: bool) -> str:
    """The tool's configuration; returns its target link URI.

    :param with_port: whether the domain has to have the target's port.
    """
    settings.known_only(*_TOOL_MEMBERS, *_translated(settings))
    target = settings.url("target_link_uri", required=True)
    domain = settings.text("domain", required=True)
    parts = urlsplit(target)
    if domain not in {parts.netloc if with_port else parts.hostname, parts.netloc}:
        raise bad(f"{settings.name('domain')} is '{domain}', not the host of target_link_uri")
    settings.text("description")
    settings.strings("secondary_domains")
    claims = settings.strings("claims")
    if not {"iss", "sub"} <= set(claims):
        raise bad(f"{settings.name('claims')} lacks iss or sub")
    return target


def _messages(settings: Fields, origin: str) -> dict[str, str]:
    """The target link URIs of the messages that have their own, by type."""
    found = {}
    for message in settings.objects("messages"):
        message.known_only(*_MESSAGE_MEMBERS, *_translated(message))
        kind = message.one_of("type", MESSAGES)
        url = message.url("target_link_uri")
        if url and origin_of(url) != origin:
            raise bad(f"{message.name('target_link_uri')} is not on the origin of the tool")
        message.text("label")
        message.url("icon_uri")
        message.text_map("custom_parameters")
        message.strings("roles")
        message.strings("placements")
        if url:
            found[kind] = url
    return found


def _scopes(client: Fields, config: Config) -> tuple[str, ...]:
    wanted = client.text("scope").split()
    foreign = [name for name in wanted if name != "openid" and name not in config.scopes]
    if foreign:
        raise bad(f"scope has what campus does not offer: {' '.join(foreign)}")
    return tuple(name for name in dict.fromkeys(wanted) if name != "openid")
