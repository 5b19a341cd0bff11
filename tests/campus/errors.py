"""What campus says when it does not do what it was asked."""


class Refused(Exception):
    """A service (token, line items, scores, results) does not grant a request.

    :param status: HTTP status of the answer.
    :param error: short code; for the token endpoint one of RFC 6749, section 5.2.
    :param reason: a sentence for the log and for the tool's developer.
    :param headers: further headers of the answer.
    """

    def __init__(
        self, status: int, error: str, reason: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.error = error
        self.reason = reason
        self.headers = headers


class LoginRefused(Exception):
    """An authentication request is refused, and its redirect URI is known to be the tool's.

    Such a refusal goes to the tool (OIDC Core, section 3.1.2.6); a request whose client or redirect URI is
    wrong never does, and gets a page of campus' own instead.

    :param redirect_uri: a registered redirect URI.
    :param state: the tool's state, or None where the request had none.
    :param error: an error code of OAuth 2.0 or OpenID Connect.
    :param reason: a sentence for the log and for `error_description`.
    """

    def __init__(self, redirect_uri: str, state: str | None, error: str, reason: str) -> None:
        super().__init__(reason)
        self.redirect_uri = redirect_uri
        self.state = state
        self.error = error
        self.reason = reason

    @property
    def description(self) -> str:
        """The reason in the characters that RFC 6749, section 4.1.2.1, allows in `error_description`."""
        plain = self.reason.encode("ascii", "replace").decode()
        return plain.replace('"', "'").replace("\\", "/")
