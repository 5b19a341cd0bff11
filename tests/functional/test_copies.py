"""Links that carry a blueprint, copied links, copied courses: which assignment each gets, and whose base."""

from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from ipylti import ids, models
from ipylti.lti import claims
from tests.campus import lti
from tests.functional.background import Background
from tests.functional.browser import Browser

COURSE, COPY = "course-7d1c2f", "course-of-next-year"


class School:
    """A platform with courses and links that the tests make up."""

    def __init__(self, browser: Browser, sessions: sessionmaker[Session]) -> None:
        self.browser = browser
        self.sessions = sessions

    def launch(
        self,
        link: str,
        person: str = "nora",
        *,
        course: str = COURSE,
        title: str = "Exercise",
        custom: Mapping[str, str] | None = None,
        status: int = 303,
    ) -> str:
        """Launch a link; returns the id of its assignment, or the page of a refusal."""
        told = {
            lti("resource_link"): {"id": link, "title": title},
            lti("context"): {"id": course, "title": course},
            lti("custom"): dict(custom or {}),
        }
        form = self.browser.message(person, claims=told)
        answer = self.browser.app.post("/launch", form, status=status)
        if status != 303:
            return str(answer.text)
        with self.sessions() as db:
            query = sa.select(models.ResourceLink).filter_by(resource_link_id=link)
            return db.scalars(query).one().assignment_id

    def blueprint(self, course: str = COURSE, **values: Any) -> str:
        """Make a blueprint in a course that is known already."""
        with self.sessions.begin() as db:
            context = db.scalars(sa.select(models.Context).filter_by(context_id=course)).one()
            person = db.scalars(sa.select(models.Person)).first()
            assert person is not None
            made = models.Blueprint(
                id=ids.random_id(),
                deployment_id=context.deployment_id,
                context_id=context.id,
                person_id=person.id,
                **{"title": "Exercise", "image": "localhost/r", "egress": False, "maximum": 20.0}
                | {"memory": 1 << 31, "cpus": 1.5}
                | values,
            )
            db.add(made)
            return made.id

    def assignment(self, assignment: str) -> models.Assignment:
        with self.sessions(expire_on_commit=False) as db:
            return db.get_one(models.Assignment, assignment)

    def workspaces(self, assignment: str) -> list[str]:
        with self.sessions() as db:
            query = sa.select(models.Workspace.kind).filter_by(assignment_id=assignment)
            return sorted(db.scalars(query))


@pytest.fixture
def school(browser: Browser, sessions: sessionmaker[Session]) -> School:
    made = School(browser, sessions)
    made.launch("known-before")
    return made


def carrying(blueprint: str, **history: str) -> dict[str, str]:
    """Return the custom parameters of a link that carries a blueprint."""
    names = {"courses": claims.CUSTOM_CONTEXT_HISTORY, "links": claims.CUSTOM_LINK_HISTORY}
    return {claims.CUSTOM_ASSIGNMENT: blueprint} | {names[name]: told for name, told in history.items()}


def test_a_link_gets_an_assignment_made_after_its_blueprint(school: School) -> None:
    """lti.md 21."""
    blueprint = school.blueprint()
    made = school.assignment(school.launch("link-1", custom=carrying(blueprint)))
    assert (made.blueprint_id, made.source_id) == (blueprint, None)
    assert (made.image, made.egress, made.maximum) == ("localhost/r", False, 20.0)
    assert (made.memory, made.cpus) == (1 << 31, 1.5)
    again = school.launch("link-1", custom=carrying(blueprint))
    assert again == made.id


def test_a_copy_that_the_teacher_chose_has_the_originals_base(school: School) -> None:
    original = school.launch("link-1")
    made = school.assignment(school.launch("link-2", custom=carrying(school.blueprint(source_id=original))))
    assert made.source_id == original
    assert school.workspaces(made.id) == ["build"]


def test_a_link_of_a_copied_course_gets_a_clone_and_nobodys_work(school: School) -> None:
    """lti.md 21."""
    blueprint = school.blueprint()
    original = school.launch("link-1", custom=carrying(blueprint))
    school.launch("link-1", "zoe", custom=carrying(blueprint))
    copied = school.launch(
        "link-2", "zoe", course=COPY, custom=carrying(blueprint, courses=f"other,{COURSE}")
    )
    made = school.assignment(copied)
    assert (made.id != original, made.source_id, made.blueprint_id) == (True, original, blueprint)
    assert (made.image, made.memory, made.cpus) == ("localhost/r", 1 << 31, 1.5)
    assert school.workspaces(copied) == ["build", "take"]
    assert school.launch("link-2", course=COPY, custom=carrying(blueprint, courses=COURSE)) == copied


def test_a_duplicate_within_the_course_gets_a_clone_too(school: School) -> None:
    blueprint = school.blueprint()
    original = school.launch("link-1", custom=carrying(blueprint))
    duplicate = school.launch("link-2", custom=carrying(blueprint))
    assert school.assignment(duplicate).source_id == original
    school.launch("link-1", "zoe", custom=carrying(blueprint))
    school.launch("link-2", "zoe", custom=carrying(blueprint))
    assert school.workspaces(original) == school.workspaces(duplicate) == ["build", "take"]


def test_a_copy_of_a_copy_is_of_the_nearest_course(school: School) -> None:
    blueprint = school.blueprint()
    school.launch("link-1", custom=carrying(blueprint))
    second = school.launch("link-2", course=COPY, custom=carrying(blueprint, courses=COURSE))
    third = school.launch("link-3", course="third", custom=carrying(blueprint, courses=f"{COPY},{COURSE}"))
    assert school.assignment(third).source_id == second
    # Some platforms tell the nearest one only.
    fourth = school.launch("link-4", course="fourth", custom=carrying(blueprint, courses="third"))
    assert school.assignment(fourth).source_id == third


def test_of_several_originals_the_links_own_history_tells_which_one(school: School) -> None:
    blueprint = school.blueprint()
    school.launch("link-1", custom=carrying(blueprint))
    second = school.launch("link-2", custom=carrying(blueprint))
    copied = school.launch("link-3", course=COPY, custom=carrying(blueprint, links="unknown,link-2"))
    assert school.assignment(copied).source_id == second


def test_of_several_originals_the_one_of_the_same_title_is_taken(school: School) -> None:
    blueprint = school.blueprint()
    school.launch("link-1", title="One", custom=carrying(blueprint))
    second = school.launch("link-2", title="Two", custom=carrying(blueprint))
    told = carrying(blueprint, courses=COURSE)
    school.launch("link-3", title="One", course=COPY, custom=told)
    copied = school.launch("link-4", title="Two", course=COPY, custom=told)
    assert school.assignment(copied).source_id == second


def test_a_link_made_by_hand_is_known_by_its_own_history(school: School) -> None:
    original = school.launch("link-1")
    copied = school.launch("link-2", course=COPY, custom={claims.CUSTOM_LINK_HISTORY: "link-1"})
    assert school.assignment(copied).source_id == original
    alone = school.launch("link-3", course=COPY, custom={claims.CUSTOM_CONTEXT_HISTORY: COURSE})
    assert school.assignment(alone).source_id is None


@pytest.mark.parametrize("history", [{}, {"courses": "another"}, {"links": "another"}])
def test_an_assignment_claimed_outside_its_history_is_refused(
    school: School, history: dict[str, str]
) -> None:
    """lti.md 21."""
    blueprint = school.blueprint()
    school.launch("link-1", custom=carrying(blueprint))
    page = school.launch("link-2", course="another", custom=carrying(blueprint, **history), status=403)
    assert "message.assignment" in page
    assert blueprint not in page
    with school.sessions() as db:
        assert db.scalars(sa.select(models.ResourceLink).filter_by(resource_link_id="link-2")).first() is None


@pytest.mark.parametrize("claimed", ["a" * 32, "../../etc/passwd", "x" * 5000])
def test_an_assignment_that_nobody_knows_is_refused(school: School, claimed: str) -> None:
    assert "message.assignment" in school.launch("link-1", custom=carrying(claimed), status=403)


def test_a_variable_that_was_not_filled_in_is_no_claim(school: School) -> None:
    """lti.md 18."""
    made = school.launch("link-1", custom={claims.CUSTOM_ASSIGNMENT: "$Something"})
    assert school.assignment(made).blueprint_id is None


def test_who_chooses_anew_for_a_link_that_was_built_keeps_what_was_built(school: School) -> None:
    original = school.launch("link-0")
    built = school.launch("link-1", custom=carrying(school.blueprint()))
    other = school.blueprint(source_id=original, image="localhost/julia")
    assert school.launch("link-1", custom=carrying(other)) == built
    now = school.assignment(built)
    assert (now.blueprint_id, now.image, now.source_id) == (other, "localhost/julia", None)


def test_the_clone_is_made_once_before_anybody_is_let_in(school: School, background: Background) -> None:
    blueprint = school.blueprint(image=None, egress=None)
    original = school.launch("link-1", custom=carrying(blueprint))
    background.work()
    background.containers.files[f"ipylti-base-{original}"] = 5
    copied = school.launch("link-2", "zoe", course=COPY, custom=carrying(blueprint, courses=COURSE))
    background.work()
    containers = background.containers
    assert containers.files[f"ipylti-base-{copied}"] == 5
    workbench = school.browser.app.get(path_of_newest(school))
    take = school.browser.status(workbench)
    assert take["state"] == "ready"
    background.containers.files[f"ipylti-base-{original}"] = 7
    school.launch("link-2", course=COPY, custom=carrying(blueprint, courses=COURSE))
    background.work()
    assert containers.files[f"ipylti-base-{copied}"] == 5


def test_a_copy_of_what_nobody_filled_is_empty_and_can_be_built(
    school: School, background: Background
) -> None:
    blueprint = school.blueprint(image=None, egress=None)
    school.launch("link-1", custom=carrying(blueprint))
    copied = school.launch("link-2", course=COPY, custom=carrying(blueprint, courses=COURSE))
    background.work()
    with school.sessions() as db:
        assert db.get_one(models.Workspace, copied).populated_at is not None
    workbench = school.browser.app.get(path_of_newest(school))
    assert school.browser.status(workbench)["state"] == "ready"


def path_of_newest(school: School) -> str:
    """Return the path of the newest launch's workbench."""
    with school.sessions() as db:
        newest = db.scalars(sa.select(models.Launch).order_by(models.Launch.created_at.desc())).first()
        assert newest is not None
        return f"/launches/{newest.id}"
