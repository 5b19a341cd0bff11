"""The side of a good tool: requests to campus that are right, each changed where a test wants it wrong."""

import json
import time
from datetime import UTC, datetime
from typing import Any, Self

import jwt
from bs4 import BeautifulSoup
from cryptography.hazmat.primitives.asymmetric import rsa
from webtest import TestApp, TestResponse

from tests.campus import Campus, dl, lti
from tests.campus.keys import public_jwk, sign
from tests.campus.scopes import LINEITEM, SCORE
from tests.campus.tokens import ASSERTION_TYPE
from tests.campus.wire import SCORE_TYPE

CLIENT = "the-tool"
LAUNCH = "http://tool.example/launch"

#: In Chromium: origins at which the tool, and somebody else, answer a page with hardly anything on it.
TOOL = "http://tool.localhost"
STRANGER = "http://stranger.localhost"


def authentication_request(campus: Campus, **changes: Any) -> list[tuple[str, str]]:
    """What a good tool sends to the authorization endpoint, changed; None leaves a parameter out."""
    begun = campus.initiation("zoe")
    wanted = {
        "scope": "openid",
        "response_type": "id_token",
        "response_mode": "form_post",
        "prompt": "none",
        "client_id": CLIENT,
        "redirect_uri": LAUNCH,
        "state": "a-state",
        "nonce": "a-nonce",
        "login_hint": begun["login_hint"],
        "lti_message_hint": begun["lti_message_hint"],
    } | changes
    return [(name, value) for name, value in wanted.items() if value is not None]


def posted(page: TestResponse) -> tuple[str, dict[str, str]]:
    """Where a self-submitting page goes, and with what."""
    form = BeautifulSoup(page.text, "html.parser").find("form", id="onward")
    return form["action"], {field["name"]: field["value"] for field in form.find_all("input")}


def last_refusal(campus: Campus) -> str:
    """The reason that the log gives for the last refusal."""
    return campus.log.refused()[-1].text


def read(campus: Campus, token: str) -> dict[str, Any]:
    """The claims of a message of campus, whose signature is looked at."""
    claims: dict[str, Any] = jwt.decode(
        token, campus.keys.current.public_key(), algorithms=["RS256"], options={"verify_aud": False}
    )
    return claims


class Signed:
    """Something that a good tool signs, with whatever a test changes."""

    def __init__(self, key: rsa.RSAPrivateKey, claims: dict[str, Any]) -> None:
        now = int(time.time())
        self.header: dict[str, Any] = {"typ": "JWT", "alg": "RS256", "kid": public_jwk(key)["kid"]}
        # Not all clocks are as far, and not all platforms grant a leeway.
        self.claims: dict[str, Any] = {"iss": CLIENT, "iat": now - 5, "exp": now + 60} | claims
        self.key: Any = key
        self.algorithm = "RS256"

    def change(self, **claims: Any) -> Self:
        """Other claims; None leaves one out, a function gets the value as it was."""
        for name, value in claims.items():
            self.claims[name] = value(self.claims.get(name)) if callable(value) else value
        self.claims = {name: value for name, value in self.claims.items() if value is not None}
        return self

    def text(self) -> str:
        return sign(self.header, self.claims, self.key, self.algorithm)


class Assertion(Signed):
    """A client assertion."""

    def __init__(self, campus: Campus, key: rsa.RSAPrivateKey) -> None:
        jti = f"jti-{time.monotonic_ns()}"
        super().__init__(key, {"sub": CLIENT, "aud": campus.config.token_audience, "jti": jti})


class Chosen(Signed):
    """The answer to a deep linking request."""

    def __init__(self, campus: Campus, key: rsa.RSAPrivateKey, request: dict[str, Any]) -> None:
        settings = request[dl("deep_linking_settings")]
        self.path = settings["deep_link_return_url"].removeprefix(campus.url)
        claims = {
            "aud": request["iss"],
            "nonce": f"nonce-{time.monotonic_ns()}",
            lti("message_type"): "LtiDeepLinkingResponse",
            lti("version"): "1.3.0",
            lti("deployment_id"): request[lti("deployment_id")],
            dl("content_items"): [self.item()],
        }
        super().__init__(key, claims)
        self.change(**{dl("data"): settings.get("data")})

    @staticmethod
    def item(**changes: Any) -> dict[str, Any]:
        """A link with all that belongs to it; None leaves a member out."""
        whole = {
            "type": "ltiResourceLink",
            "title": "Exercise 9",
            "text": "The ninth",
            "url": f"{LAUNCH}?exercise=9",
            "custom": {"exercise": "9", "who": "$User.id", "unknown": "$No.such", "due": "the link's"},
            "lineItem": {"label": "Column 9", "scoreMaximum": 12.5, "resourceId": "r-9", "tag": "grade"},
            "available": {"startDateTime": "2030-01-01T00:00:00Z"},
            "submission": {"endDateTime": "2030-05-06T09:08:09+02:00"},
            "iframe": {"width": 800, "height": 600},
        } | changes
        return {name: value for name, value in whole.items() if value is not None}

    def items(self, *items: dict[str, Any]) -> "Chosen":
        """Other content items."""
        return self.change(**{dl("content_items"): list(items)})

    def change_item(self, **changes: Any) -> "Chosen":
        """The one content item, changed."""
        return self.items(self.item(**changes))


def token_request(assertion: Assertion | str, **changes: Any) -> dict[str, str]:
    wanted = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion if isinstance(assertion, str) else assertion.text(),
        "scope": f"{LINEITEM} {SCORE}",
    } | changes
    return {name: value for name, value in wanted.items() if value is not None}


class Service:
    """A good tool's calls to the services, with an access token for all scopes."""

    def __init__(self, campus: Campus, server: TestApp, key: rsa.RSAPrivateKey) -> None:
        self.campus, self.server, self.key = campus, server, key
        self.headers = {"Authorization": f"Bearer {self.token(*campus.config.granted_scopes)}"}
        self.item = self.path(campus.gradebook.item_url(campus.gradebook.items[0]))
        self.items = self.path(campus.gradebook.items_url)
        self.use(self.item)

    def use(self, item: str) -> None:
        """Post to, and read from, a line item."""
        path, mark, query = item.partition("?")
        self.scores, self.results = (f"{path}/{name}{mark}{query}" for name in ("scores", "results"))

    def path(self, url: str) -> str:
        return url.removeprefix(self.campus.config.backchannel_url)

    def token(self, *scopes: str) -> str:
        form = token_request(Assertion(self.campus, self.key), scope=" ".join(scopes))
        return str(self.server.post("/token", form).json["access_token"])

    def get(self, path: str, accept: str, status: int = 200) -> TestResponse:
        return self.server.get(path, headers=self.headers | {"Accept": accept}, status=status)

    def send(
        self, method: str, path: str, media: str, body: Any, status: int, **headers: str
    ) -> TestResponse:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = self.headers | {"Content-Type": media} | headers
        return getattr(self.server, method)(path, content, sent, status=status)

    def post_score(self, status: int = 204, **changes: Any) -> TestResponse:
        return self.send("post", self.scores, SCORE_TYPE, self.score(**changes), status)

    def score(self, **changes: Any) -> dict[str, Any]:
        """A hand-in that waits for a grade; None leaves a member out."""
        body = {
            "userId": self.campus.person("zoe").sub,
            "timestamp": datetime.now(UTC).isoformat(timespec="microseconds"),
            "activityProgress": "Completed",
            "gradingProgress": "PendingManual",
        } | changes
        return {name: value for name, value in body.items() if value is not None}
