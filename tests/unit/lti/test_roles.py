"""Roles: lti.md 16 and 17."""

import pytest

from ipylti.lti import roles

CONTEXT = "http://purl.imsglobal.org/vocab/lis/v2/membership"
INSTITUTION = "http://purl.imsglobal.org/vocab/lis/v2/institution/person"
SYSTEM = "http://purl.imsglobal.org/vocab/lis/v2/system/person"


@pytest.mark.parametrize(
    ("raw", "staff", "learner"),
    [
        ([f"{CONTEXT}#Instructor"], True, False),
        ([f"{CONTEXT}#ContentDeveloper"], True, False),
        ([f"{CONTEXT}#Administrator"], True, False),
        ([f"{CONTEXT}#Learner"], False, True),
        ([f"{CONTEXT}#Mentor"], False, False),
        ([f"{CONTEXT}#Manager"], False, False),
        ([f"{CONTEXT}#Member"], False, False),
        ([f"{CONTEXT}#Officer"], False, False),
        # Short names are context roles.
        (["Instructor"], True, False),
        (["Administrator"], True, False),
        (["Learner"], False, True),
        (["Mentor"], False, False),
        # A sub-role counts as its principal, which the path names.
        ([f"{CONTEXT}/Instructor#TeachingAssistant"], True, False),
        ([f"{CONTEXT}/Instructor#Grader"], True, False),
        ([f"{CONTEXT}/Administrator#Support"], True, False),
        ([f"{CONTEXT}/Learner#GuestLearner"], False, True),
        ([f"{CONTEXT}/Learner#Instructor"], False, True),
        ([f"{CONTEXT}/Mentor#Tutor"], False, False),
        ([f"{CONTEXT}/Member#Member"], False, False),
        # Several.
        ([f"{CONTEXT}#Learner", f"{CONTEXT}#Instructor"], True, True),
        ([f"{CONTEXT}#Learner", f"{INSTITUTION}#Instructor"], False, True),
        ([f"{CONTEXT}#Learner", f"{INSTITUTION}#Administrator", f"{SYSTEM}#SysAdmin"], False, True),
        # Elsewhere somebody, here nobody.
        ([f"{INSTITUTION}#Instructor"], False, False),
        ([f"{INSTITUTION}#Faculty"], False, False),
        ([f"{INSTITUTION}#Administrator"], False, False),
        ([f"{SYSTEM}#Administrator"], False, False),
        ([f"{SYSTEM}#SysAdmin"], False, False),
        # Nothing.
        ([], False, False),
        ([""], False, False),
        (["", "None", "http://example.org/Instructor"], False, False),
        # Look-alikes.
        (["instructor"], False, False),
        (["INSTRUCTOR"], False, False),
        ([" Instructor"], False, False),
        (["Instructor "], False, False),
        (["Instructor#"], False, False),
        (["#Instructor"], False, False),
        (["TeachingAssistant"], False, False),
        (["Learner/Instructor"], False, False),
        ([f"{CONTEXT}#instructor"], False, False),
        ([f"{CONTEXT}/Instructor"], False, False),
        ([f"{CONTEXT}/Instructor#Unknown"], False, False),
        ([f"{CONTEXT}/Unknown#Instructor"], False, False),
        ([f"{CONTEXT}#Instructor#"], False, False),
        ([f"{CONTEXT}#Learner#Instructor"], False, False),
        ([f"{CONTEXT}//#Instructor"], False, False),
        ([f"x{CONTEXT}#Instructor"], False, False),
        ([f"{CONTEXT}#Instructor\n"], False, False),
        (["https://purl.imsglobal.org/vocab/lis/v2/membership#Instructor"], False, False),
        (["http://purl.imsglobal.org.evil.example/vocab/lis/v2/membership#Instructor"], False, False),
        (["http://evil.example/?http://purl.imsglobal.org/vocab/lis/v2/membership#Instructor"], False, False),
        (["urn:lti:role:ims/lis/Instructor"], False, False),
        (["urn:lti:instrole:ims/lis/Administrator"], False, False),
    ],
)
def test_what_roles_come_to(raw: list[str], staff: bool, learner: bool) -> None:
    found = roles.parse(raw)
    assert (found.staff, found.learner) == (staff, learner)
    assert found.raw == tuple(raw)
    assert not found.test_user


@pytest.mark.parametrize(
    ("role", "staff"),
    [
        (f"{INSTITUTION}#Administrator", True),
        (f"{SYSTEM}#Administrator", True),
        (f"{SYSTEM}#SysAdmin", True),
        (f"{INSTITUTION}#Instructor", False),
        (f"{INSTITUTION}#Staff", False),
        (f"{SYSTEM}#User", False),
        (f"{SYSTEM}#Creator", False),
        (f"{CONTEXT}#Learner", False),
    ],
)
def test_a_setting_lets_administrators_be_staff_and_nobody_else(role: str, staff: bool) -> None:
    assert roles.parse([role], staff_from_institution=True).staff == staff


@pytest.mark.parametrize(
    ("role", "test_user"),
    [
        ("http://purl.imsglobal.org/vocab/lti/system/person#TestUser", True),
        ("http://purl.imsglobal.org/vocab/lis/v2/system/person#TestUser", False),
        ("TestUser", False),
    ],
)
def test_test_users(role: str, test_user: bool) -> None:
    """lti.md 17. They keep what else they are."""
    found = roles.parse([role, f"{CONTEXT}#Learner"])
    assert (found.test_user, found.learner) == (test_user, True)


@pytest.mark.parametrize(
    ("role", "principal"),
    [
        ("Instructor", "Instructor"),
        (f"{CONTEXT}/Learner#Instructor", "Learner"),
        (f"{CONTEXT}/Officer#Vice-Chair", "Officer"),
        (f"{INSTITUTION}#Student", None),
        ("", None),
    ],
)
def test_the_principal_role(role: str, principal: str | None) -> None:
    assert roles.principal(role) == principal
