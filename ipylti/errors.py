"""What can go wrong, by meaning.

Code below the views raises these; only the exception views (:mod:`ipylti.views.errors`) choose a
status and words for a person. Each class, or each instance, carries a short ``code`` that appears on the
page, in the log and in the metrics; ``detail`` is for the log and never holds a claim, token or secret.
"""


class IpyltiError(Exception):
    """The root of all errors that the project raises on purpose.

    :param detail: one line for the log.
    :param code: a short, stable name of what went wrong, like ``message.expired``.
    """

    code = "error"

    def __init__(self, detail: str = "", *, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        if code is not None:
            self.code = code


class SettingsError(IpyltiError):
    """The ini file or the environment lacks a setting or holds a bad one; ``detail`` names it."""

    code = "settings"


class BadRequest(IpyltiError):
    """The request itself is malformed: a parameter is missing, given twice or of a wrong shape."""

    code = "request.bad"


class RefusedLogin(IpyltiError):
    """A login initiation that can't be answered (LTI Security Framework 1.0, 5.1.1.1)."""

    code = "login.refused"


class RefusedMessage(IpyltiError):
    """An LTI message that failed one of the checks of the Security Framework, 5.1.3."""

    code = "message.refused"


class UnknownDeployment(RefusedMessage):
    """A verified message came from a deployment that is not known of a known registration.

    Issuer, client id and deployment are what an administrator needs to make it known; they are no secrets.
    """

    code = "message.deployment"

    def __init__(self, issuer: str, client_id: str, deployment: str) -> None:
        super().__init__("a deployment that is not known")
        self.issuer = issuer
        self.client_id = client_id
        self.deployment = deployment


class PlatformRefused(IpyltiError):
    """The platform answered the authentication request with an OAuth ``error`` instead of a message."""

    code = "platform.refused"


class PlatformUnreachable(IpyltiError):
    """A platform's key set can't be had, and none is remembered: its messages can't be checked now."""

    code = "platform.unreachable"


class AccessDenied(IpyltiError):
    """The person is known, but has no right to this."""

    code = "access.denied"


class NotReady(IpyltiError):
    """A student came before the teacher saved anything into the assignment."""

    code = "assignment.not_ready"


class DependencyDown(IpyltiError):
    """An external part does not answer.

    :param part: its name: ``redis``, ``database``, ``podman`` or ``traefik``.
    """

    def __init__(self, part: str, detail: str = "") -> None:
        super().__init__(detail, code=f"{part}.down")
        self.part = part


class OutgoingError(IpyltiError):
    """An outgoing HTTP request got no usable answer: refused address, time-out, too large, broken."""

    code = "http.failed"


class ServiceError(IpyltiError):
    """A platform's service (token, line item, score) refused or failed.

    :param retry: whether a later try can succeed without anybody doing anything.
    :param status: the HTTP status of the answer, or None where there was no answer.
    :param retry_after: seconds that the platform asked to wait, or None.
    """

    code = "service.failed"

    def __init__(
        self,
        detail: str = "",
        *,
        code: str | None = None,
        retry: bool,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail, code=code)
        self.retry = retry
        self.status = status
        self.retry_after = retry_after


class SpawnerError(IpyltiError):
    """A container, volume or image operation failed, and trying again at once will not help."""

    code = "server.failed"


class ImageMissing(SpawnerError):
    """The configured notebook image is not on this machine."""

    code = "server.image_missing"


class ServerTimeout(SpawnerError):
    """The server did not answer in time; its log's last lines are in ``detail``."""

    code = "server.timeout"


class EmptySource(SpawnerError):
    """There is nothing to copy: the source volume is missing or holds no file of anybody's."""

    code = "volume.empty"
