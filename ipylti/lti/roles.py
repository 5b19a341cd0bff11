"""What a person may do in a course, out of the roles claim (LTI Core 1.3, 5.3.7 and A.2).

A role is an exact URI. Three vocabularies look alike and say different things: the *context* role is about
this course, the *institution* and *system* roles about the person elsewhere. Only context roles give rights
in a course: a platform sends the institution's Instructor for somebody who is a student here. What is not
known grants nothing and breaks nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_LIS = "http://purl.imsglobal.org/vocab/lis/v2/"
_CONTEXT = _LIS + "membership"

TEST_USER = "http://purl.imsglobal.org/vocab/lti/system/person#TestUser"

#: Those who run an institution or a platform. They are staff only where a setting says so.
ADMINISTRATORS = frozenset(
    {
        _LIS + "institution/person#Administrator",
        _LIS + "system/person#Administrator",
        _LIS + "system/person#SysAdmin",
    }
)

#: The principal context roles and their sub-roles, as A.2.3 lists them. A sub-role's URI names its
#: principal in the path: ``membership/Learner#Instructor`` is a learner who helps, not an instructor.
SUB_ROLES: Mapping[str, tuple[str, ...]] = {
    "Administrator": (
        "Administrator",
        "Developer",
        "ExternalDeveloper",
        "ExternalSupport",
        "ExternalSystemAdministrator",
        "Support",
        "SystemAdministrator",
    ),
    "ContentDeveloper": ("ContentDeveloper", "ContentExpert", "ExternalContentExpert", "Librarian"),
    "Instructor": (
        "ExternalInstructor",
        "Grader",
        "GuestInstructor",
        "Lecturer",
        "PrimaryInstructor",
        "SecondaryInstructor",
        "TeachingAssistant",
        "TeachingAssistantGroup",
        "TeachingAssistantOffering",
        "TeachingAssistantSection",
        "TeachingAssistantSectionAssociation",
        "TeachingAssistantTemplate",
    ),
    "Learner": ("ExternalLearner", "GuestLearner", "Instructor", "Learner", "NonCreditLearner"),
    "Manager": ("AreaManager", "CourseCoordinator", "ExternalObserver", "Manager", "Observer"),
    "Member": ("Member",),
    "Mentor": (
        "Advisor",
        "Auditor",
        "ExternalAdvisor",
        "ExternalAuditor",
        "ExternalLearningCoordinator",
        "ExternalMentor",
        "ExternalReviewer",
        "ExternalTutor",
        "LearningCoordinator",
        "Mentor",
        "Reviewer",
        "Tutor",
    ),
    "Officer": ("Chair", "Communications", "Secretary", "Treasurer", "Vice-Chair"),
}

#: Whose holders may build and see others' work.
STAFF = frozenset({"Administrator", "ContentDeveloper", "Instructor"})


def _principals() -> dict[str, str]:
    """Map every way to write a context role, the short names included, to its principal role."""
    table = {}
    for principal, subs in SUB_ROLES.items():
        table[principal] = principal
        table[f"{_CONTEXT}#{principal}"] = principal
        for sub in subs:
            table[f"{_CONTEXT}/{principal}#{sub}"] = principal
    return table


_PRINCIPALS = _principals()


@dataclass(frozen=True)
class Roles:
    """What the roles claim comes to.

    :param staff: may build the assignment and see others' work.
    :param learner: takes the assignment. Somebody can be both, or neither (an observer, or no known role).
    :param test_user: no real person: kept apart from them, and no score is sent.
    :param raw: the claim as it came.
    """

    staff: bool
    learner: bool
    test_user: bool
    raw: tuple[str, ...]


def principal(role: str) -> str | None:
    """Return the principal context role of a role, like ``Instructor``; None for any other role."""
    return _PRINCIPALS.get(role)


def parse(raw: Iterable[str], *, staff_from_institution: bool = False) -> Roles:
    """Return what the roles come to.

    :param raw: the claim's strings, in any number.
    :param staff_from_institution: count administrators of the institution and of the system as staff.
        An Instructor of the institution is never staff by that.
    """
    raw = tuple(raw)
    held = {_PRINCIPALS[role] for role in raw if role in _PRINCIPALS}
    administrates = staff_from_institution and not ADMINISTRATORS.isdisjoint(raw)
    return Roles(
        staff=administrates or not STAFF.isdisjoint(held),
        learner="Learner" in held,
        test_user=TEST_USER in raw,
        raw=raw,
    )
