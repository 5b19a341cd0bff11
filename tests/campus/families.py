"""How learning management systems differ, as data: what a campus does is read off here and nowhere else.

The presets say of each product what its source code or documentation says. What these leave open (how a Link
header is written, how somebody who can't be graded is answered, when requests are throttled) was dealt out
among the families, so that everything that a specification permits occurs in one of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from .faults import Failure
from .scopes import LINEITEM_READONLY

ALL_PROGRESS = ("FullyGraded", "Pending", "PendingManual", "Failed", "NotReady")

TOO_MANY = "throttled, as a platform does it when it has much to do"
SOON = Failure(429, {"Retry-After": "1"}, reason=TOO_MANY)
SOMETIME = Failure(429, reason=TOO_MANY)
#: Canvas says 403 where others say 429.
NOTHING_LEFT = Failure(
    403, {"X-Rate-Limit-Remaining": "0.0"}, body="403 Forbidden (Rate Limit Exceeded)\n", reason=TOO_MANY
)


@dataclass(frozen=True)
class Behaviour:
    """Where platforms do things in different ways. The defaults are campus' own.

    Messages:

    :param family: the `product_family_code`.
    :param names_itself: whether messages have the `tool_platform` claim.
    :param issuer: an issuer that the product's customers share; campus' own address if empty.
    :param lifetime: seconds from `iat` to `exp` of a message.
    :param fractional_iat: whether `iat` is a number with a fraction.
    :param key_algorithm: whether published keys have `alg`.
    :param short_roles: whether roles in the course are short names.
    :param login_deployment: parameters of the login initiation that name the deployment.
    :param json_hint: whether the `lti_message_hint` is a JSON text, which has to come back as it is.
    :param storage: the `lti_storage_target` of a login initiation: `_parent`, the name of a frame, or empty.
    :param deep_linking_data: whether a deep linking request has `data`, which has to come back.
    :param text_settings: whether a deep linking request writes true and false as texts, says nothing of line
        items, and calls what is to be chosen by the tool's name.
    :param review_messages: whether it sends submission review requests.
    :param review_on_request: whether it does so only where the line item asks for it, and does not speak of
        them in its configuration.

    Variables in custom parameters:

    :param link_dates: whether it knows those of a link's dates.
    :param canvas_due_date: whether it knows Canvas' own of the due date.
    :param context_history: whether it knows `$Context.id.history`.
    :param link_history: whether it knows `$ResourceLink.id.history`.
    :param empty_history: whether a history with nothing in it is an empty text; else the variable stays.

    Tokens and registration:

    :param behind: seconds by which its clock is behind. With any, what a tool signs must not be of the future
        by even one.
    :param token_audience: the audience that a client assertion must name; the token endpoint's URL if empty.
    :param unoffered_scopes: scopes that it doesn't offer at all.
    :param refused_scopes: scopes that its launches offer and its token endpoint doesn't grant.
    :param fewer_scopes: whether the token endpoint leaves out what it doesn't grant; else it refuses all.
    :param configuration_token: whether even the platform's configuration is shown only to who was invited;
        the token stands in its address then.
    :param bare_messages: whether `messages_supported` is a list of names in place of objects.
    :param domain_with_port: whether a tool's domain has to have the port that its target has.
    :param registration_deployment: whether the answer to a registration names the deployment.
    :param registration_status: HTTP status of the answer to a registration.
    :param new_tools_pending: whether a tool that registers has to be switched on by the administrator.
    :param return_known: whether who comes back from the tool has to be signed in. In a frame that the tool
        leads there nobody is: the cookie stays behind.

    Services:

    :param line_item_query: the query of a line item's address. With one, a tool that appends to the whole
        address loses its way.
    :param members_query: the query of a roster's address.
    :param link_format: how a Link header writes one link, with `{url}` and `{rel}`.
    :param link_joint: what stands between two links.
    :param link_others: relations that come before the one of the next page: `first`, `current`, `canonical`,
        `last`.
    :param relative_links: whether links leave out the origin.
    :param exact_accept: whether a request has to have exactly the `Accept` that the specification says.
    :param accept_refusal: HTTP status for one that does not.
    :param not_gradable_status: HTTP status for a score of somebody who can't be graded.
    :param first_score: how the first score is answered; as any other if None.
    :param score_status: HTTP status for a score that was taken: 204, or 200 with a body.
    :param whole_seconds: whether times of scores are compared in whole seconds.
    :param same_time: whether a score of the same time as the last is taken.
    :param conflict_status: HTTP status for a score that is too early.
    :param counting: values of `gradingProgress` with which `scoreGiven` becomes the grade.
    :param ungraded_results: whether results list those with a score and no grade, too, without a number.
    :param progress_clears: whether a score that does not become the grade takes a grade away.
    """

    family: str = "campus"
    names_itself: bool = True
    issuer: str = ""
    lifetime: int = 60
    fractional_iat: bool = False
    key_algorithm: bool = True
    short_roles: bool = False
    login_deployment: tuple[str, ...] = ("lti_deployment_id",)
    json_hint: bool = False
    storage: str = ""
    deep_linking_data: bool = True
    text_settings: bool = False
    review_messages: bool = True
    review_on_request: bool = False

    link_dates: bool = True
    canvas_due_date: bool = False
    context_history: bool = True
    link_history: bool = True
    empty_history: bool = False

    behind: int = 0
    token_audience: str = ""
    unoffered_scopes: frozenset[str] = frozenset()
    refused_scopes: frozenset[str] = frozenset()
    fewer_scopes: bool = False
    configuration_token: bool = False
    bare_messages: bool = False
    domain_with_port: bool = False
    registration_deployment: bool = True
    registration_status: int = 201
    new_tools_pending: bool = False
    return_known: bool = False

    line_item_query: str = "type_id=7"
    members_query: str = "view=members"
    link_format: str = '<{url}>; rel="{rel}"'
    link_joint: str = ", "
    link_others: tuple[str, ...] = ()
    relative_links: bool = False
    exact_accept: bool = True
    accept_refusal: int = 406
    not_gradable_status: int = 422
    first_score: Failure | None = None
    score_status: int = 204
    whole_seconds: bool = False
    same_time: bool = False
    conflict_status: int = 409
    counting: tuple[str, ...] = ALL_PROGRESS
    ungraded_results: bool = False
    progress_clears: bool = True


CAMPUS = Behaviour()

CANVAS = Behaviour(
    family="canvas",
    issuer="https://canvas.instructure.com",
    lifetime=3600,
    login_deployment=("deployment_id", "lti_deployment_id"),
    storage="post_message_forwarding",
    review_messages=False,
    canvas_due_date=True,
    link_history=False,
    empty_history=True,
    token_audience="https://canvas.instructure.com/login/oauth2/token",
    configuration_token=True,
    registration_deployment=False,
    registration_status=200,
    line_item_query="",
    members_query="",
    link_joint=",",
    link_others=("current", "first", "last"),
    exact_accept=False,
    first_score=NOTHING_LEFT,
    score_status=200,
    same_time=True,
    conflict_status=400,
    counting=("FullyGraded", "PendingManual"),
)

MOODLE = Behaviour(
    family="moodle",
    json_hint=True,
    deep_linking_data=False,
    text_settings=True,
    review_on_request=True,
    link_dates=False,
    link_history=False,
    empty_history=True,
    # Its library for tokens grants no leeway.
    behind=3,
    fewer_scopes=True,
    bare_messages=True,
    domain_with_port=True,
    registration_status=200,
    new_tools_pending=True,
    return_known=True,
    members_query="",
    # Typographic quotation marks, which are none to RFC 8288: who sends a limit never finds the second page.
    link_format="<{url}>; rel=“{rel}”",
    link_others=("first", "canonical", "last"),
    accept_refusal=400,
    not_gradable_status=400,
    score_status=200,
    whole_seconds=True,
    counting=("FullyGraded",),
    ungraded_results=True,
)

BLACKBOARD = Behaviour(
    family="BlackboardLearn",
    issuer="https://blackboard.com",
    lifetime=3600,
    fractional_iat=True,
    review_messages=False,
    registration_deployment=False,
    line_item_query="",
    members_query="",
    link_format='<{url}>; title="a, b; rel=c"; REL="{rel}"',
    exact_accept=False,
    not_gradable_status=404,
    first_score=SOON,
    score_status=200,
    whole_seconds=True,
)

D2L = Behaviour(
    family="desire2learn",
    lifetime=3600,
    token_audience="https://api.brightspace.com/auth/token",
    registration_deployment=False,
    line_item_query="",
    members_query="",
    link_format="<{url}>;rel={rel}",
    not_gradable_status=403,
    first_score=SOMETIME,
    score_status=200,
    progress_clears=False,
)

SAKAI = Behaviour(
    family="sakai",
    lifetime=3600,
    storage="_parent",
    unoffered_scopes=frozenset({LINEITEM_READONLY}),
    line_item_query="",
    members_query="",
    relative_links=True,
    score_status=200,
)

OPENEDX = Behaviour(
    family="openedx",
    names_itself=False,
    lifetime=3600,
    deep_linking_data=False,
    review_messages=False,
    link_dates=False,
    context_history=False,
    link_history=False,
    fewer_scopes=True,
    line_item_query="",
    members_query="",
    score_status=200,
)

SCHOOLOGY = Behaviour(
    family="schoology",
    issuer="https://schoology.schoology.com",
    lifetime=3600,
    key_algorithm=False,
    short_roles=True,
    storage="_parent",
    review_messages=False,
    line_item_query="",
    members_query="",
    link_format='<{url}>; rel="{rel} collection"',
    exact_accept=False,
    first_score=SOMETIME,
)

#: By the names that the command line takes.
FAMILIES: Mapping[str, Behaviour] = {
    "campus": CAMPUS,
    "canvas": CANVAS,
    "moodle": MOODLE,
    "blackboard": BLACKBOARD,
    "d2l": D2L,
    "sakai": SAKAI,
    "openedx": OPENEDX,
    "schoology": SCHOOLOGY,
}
