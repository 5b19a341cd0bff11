"""Dynamic Registration 1.0: a platform and the tool introduce themselves to each other.

An administrator of the platform opens the tool's registration URL there. The platform adds two parameters:
where its OpenID configuration is (OpenID Connect Discovery 1.0, 4), and mostly a token. The tool reads the
configuration and registers at the endpoint that it names (OpenID Connect Dynamic Client Registration 1.0, 3).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ipylti.errors import IpyltiError, OutgoingError
from ipylti.http import Answer, OutgoingHTTP, is_web_url, origin
from ipylti.lti import claims, strict_json
from ipylti.lti.messages import DEEP_LINKING_REQUEST, RESOURCE_LINK_REQUEST, SUBMISSION_REVIEW_REQUEST

TOOL_CONFIGURATION = "https://purl.imsglobal.org/spec/lti-tool-configuration"
PLATFORM_CONFIGURATION = "https://purl.imsglobal.org/spec/lti-platform-configuration"

#: Claims about people that the tool has a use for: names for teachers' lists; never an e-mail address.
WANTED_CLAIMS = ("iss", "sub", "name", "given_name", "family_name", "locale")

#: Kinds of message that the tool can be sent.
MESSAGES = (RESOURCE_LINK_REQUEST, DEEP_LINKING_REQUEST, SUBMISSION_REVIEW_REQUEST)

#: Product family -> kind of message -> places in the platform, in its own names. Others are left to choose.
PLACEMENTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "canvas": {
        RESOURCE_LINK_REQUEST: ("course_navigation",),
        DEEP_LINKING_REQUEST: ("assignment_selection", "link_selection"),
    },
    "sakai": {DEEP_LINKING_REQUEST: ("ContentArea",)},
}

#: Product family -> further members of the tool's configuration. Canvas tells no names unless it is asked to
#: (its documentation, "Registering an LTI Tool").
EXTENSIONS: Mapping[str, Mapping[str, str]] = {
    "canvas": {"https://canvas.instructure.com/lti/privacy_level": "name_only"},
}

#: Characters of a name or a platform's words that are kept.
_WORDS = 300

#: Seconds for one request; administrators wait for it.
TIMEOUT = 10.0


class RegistrationError(IpyltiError):
    """A platform can't be registered with; the code says why.

    :param words: what the platform itself said, for people; may be empty.
    """

    code = "registration.failed"

    def __init__(self, detail: str = "", *, code: str, words: str = "") -> None:
        super().__init__(detail, code=code)
        self.words = words


@dataclass(frozen=True)
class PlatformConfiguration:
    """What a platform says of itself.

    :param token_audience: what the tool's assertions are for, None for the token URL. Canvas says a bare host
        there (its documentation, "Registering an LTI Tool") and wants the token URL: so what is no URL counts
        as absent.
    :param product_family: the platform's ``product_family_code``, for choosing a preset.
    :param messages: the kinds of message that it sends; empty where it does not say.
    """

    issuer: str
    auth_url: str
    token_url: str
    jwks_url: str
    registration_url: str
    token_audience: str | None
    scopes: tuple[str, ...]
    product_family: str | None
    messages: tuple[str, ...]


@dataclass(frozen=True)
class Registered:
    """What a platform made of the registration.

    :param deployment: the deployment that it made at once, if it told one.
    :param scopes: what the tool may ask tokens for; None where it does not say.
    """

    client_id: str
    deployment: str | None
    scopes: tuple[str, ...] | None


def read_configuration(
    http: OutgoingHTTP, url: str, token: str | None, *, allow_http: bool = False
) -> PlatformConfiguration:
    """Fetch a platform's configuration and check that it speaks for itself.

    :param token: the registration token, which some platforms want to see here, too.
    :param allow_http: whether its addresses may be plain http, as a platform's on this machine are.
    :raises RegistrationError: ``registration.unreachable``, ``registration.configuration`` (it is none),
        ``registration.http`` (an address is no https URL), or ``registration.issuer`` (its issuer is on
        another host than the configuration).
    """
    if not is_web_url(url):
        raise RegistrationError("openid_configuration is no URL", code="registration.configuration")
    try:
        answer = http.get_json(url, token=token, timeout=TIMEOUT)
    except OutgoingError as err:
        raise RegistrationError(f"{err.code}: {err.detail}", code="registration.unreachable") from err
    if answer.status != 200:
        raise RegistrationError(f"answered {answer.status}", code="registration.unreachable")
    content = _object(answer, "registration.configuration")
    lti = content.get(PLATFORM_CONFIGURATION)
    about = lti if isinstance(lti, dict) else {}
    audience = _text(content.get("authorization_server"))
    found = PlatformConfiguration(
        issuer=_url(content, "issuer", allow_http),
        auth_url=_url(content, "authorization_endpoint", allow_http),
        token_url=_url(content, "token_endpoint", allow_http),
        jwks_url=_url(content, "jwks_uri", allow_http),
        registration_url=_url(content, "registration_endpoint", allow_http),
        token_audience=audience if audience and is_web_url(audience) else None,
        scopes=_strings(content.get("scopes_supported")),
        product_family=_text(about.get("product_family_code")),
        messages=_message_types(about.get("messages_supported")),
    )
    # Whoever makes somebody open a configuration of theirs must not thereby speak for another platform.
    if urlsplit(found.issuer).hostname != urlsplit(url).hostname:
        raise RegistrationError("the issuer is on another host", code="registration.issuer")
    return found


def registration_request(
    configuration: PlatformConfiguration,
    *,
    tool_url: str,
    title: str,
    description: str,
) -> dict[str, Any]:
    """Return what the tool says of itself (Dynamic Registration 1.0, "Tool configuration").

    :param tool_url: the tool's own URL, without a slash at its end.
    """
    launch = f"{tool_url}/launch"
    family = (configuration.product_family or "").lower()
    placements = PLACEMENTS.get(family, {})
    wanted = [each for each in MESSAGES if not configuration.messages or each in configuration.messages]
    messages: list[dict[str, Any]] = []
    for kind in wanted:
        message: dict[str, Any] = {"type": kind, "target_link_uri": launch, "label": title}
        if kind in placements:
            message["placements"] = list(placements[kind])
        messages.append(message)
    scopes = [each for each in claims.SCOPES if not configuration.scopes or each in configuration.scopes]
    return {
        "application_type": "web",
        "response_types": ["id_token"],
        "grant_types": ["implicit", "client_credentials"],
        "initiate_login_uri": f"{tool_url}/login",
        "redirect_uris": [launch],
        "client_name": title,
        "jwks_uri": f"{tool_url}/.well-known/jwks.json",
        "logo_uri": f"{tool_url}/static/icon.svg",
        "token_endpoint_auth_method": "private_key_jwt",
        "scope": " ".join(scopes),
        TOOL_CONFIGURATION: {
            # With the port, where it is not the usual one: Moodle compares it with the target's host and
            # port, character by character (mod/lti, registration_helper.php).
            "domain": origin(tool_url).partition("://")[2],
            "target_link_uri": launch,
            "description": description,
            "claims": list(WANTED_CLAIMS),
            "custom_parameters": dict(claims.CUSTOM_FIELDS),
            "messages": messages,
            **EXTENSIONS.get(family, {}),
        },
    }


def register(
    http: OutgoingHTTP, configuration: PlatformConfiguration, token: str | None, request: Mapping[str, Any]
) -> Registered:
    """Register the tool.

    :param token: the registration token; some platforms give none.
    :raises RegistrationError: ``registration.unreachable``, ``registration.refused`` (with the platform's
        words), or ``registration.answer`` (it names no client).
    """
    try:
        answer = http.post_json(configuration.registration_url, dict(request), token=token, timeout=TIMEOUT)
    except OutgoingError as err:
        raise RegistrationError(f"{err.code}: {err.detail}", code="registration.unreachable") from err
    if not 200 <= answer.status < 300:
        raise RegistrationError(
            f"answered {answer.status}", code="registration.refused", words=_words_of(answer)
        )
    content = _object(answer, "registration.answer")
    client_id = _text(content.get("client_id"))
    if not client_id or len(client_id) > claims.ID_LENGTH:
        raise RegistrationError("no client_id in the answer", code="registration.answer")
    tool = content.get(TOOL_CONFIGURATION)
    deployment = tool.get("deployment_id") if isinstance(tool, dict) else None
    if isinstance(deployment, int) and not isinstance(deployment, bool):
        deployment = str(deployment)
    if isinstance(deployment, str) and len(deployment) > claims.ID_LENGTH:
        raise RegistrationError("a deployment_id that no message can name", code="registration.answer")
    scope = _text(content.get("scope"))
    return Registered(
        client_id=client_id,
        deployment=_text(deployment),
        scopes=None if scope is None else tuple(scope.split()),
    )


def _object(answer: Answer, code: str) -> dict[str, Any]:
    try:
        content = strict_json.loads(answer.body)
    except strict_json.NotJSON as err:
        raise RegistrationError("not JSON", code=code) from err
    if not isinstance(content, dict):
        raise RegistrationError("not an object", code=code)
    return content


def _url(content: Mapping[str, Any], name: str, allow_http: bool) -> str:
    value = content.get(name)
    if not isinstance(value, str) or not is_web_url(value):
        raise RegistrationError(f"{name} is no URL", code="registration.configuration")
    if not allow_http and not value.startswith("https:"):
        raise RegistrationError(f"{name} is not https", code="registration.http")
    return value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _message_types(value: Any) -> tuple[str, ...]:
    """Return the kinds of message: objects with a ``type``; some platforms list bare names."""
    if not isinstance(value, list):
        return ()
    return _strings([each.get("type") if isinstance(each, dict) else each for each in value])


def _words_of(answer: Answer) -> str:
    """Return what a platform says of its refusal (RFC 7591, 3.2.2), or its plain text."""
    try:
        content = strict_json.loads(answer.body)
    except strict_json.NotJSON:
        content = answer.body.decode("utf-8", "replace") if b"<" not in answer.body else ""
    if isinstance(content, dict):
        content = content.get("error_description") or content.get("message") or content.get("error")
    words = content if isinstance(content, str) else ""
    return " ".join(words.split())[:_WORDS]
