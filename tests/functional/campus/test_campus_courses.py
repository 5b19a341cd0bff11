"""Copies of courses and links, as platforms make them."""

from webtest import TestApp

from tests.campus import Campus, ags, lti
from tests.campus.course import Link
from tests.campus.wire import LINEITEM_TYPE, LINEITEMS_TYPE
from tests.functional.campus.good_tool import LAUNCH, Service


def test_a_copied_course_has_copies_of_all_links(campus: Campus) -> None:
    chosen = Link("link-9", "Nine", "", None, 9.0, f"{LAUNCH}?x=9", {"n": "9"}, resource_id="r-9", tag="t")
    campus.add_link(chosen)
    copy = campus.copy_course()
    assert copy.id != campus.course.id
    assert [link.title for link in copy.links] == [link.title for link in campus.course.links]
    assert not {link.id for link in copy.links} & {link.id for link in campus.course.links}
    made = copy.links[-1]
    claims = campus.claims("zoe", made.id)
    assert claims[lti("context")]["id"] == copy.id
    assert claims[lti("resource_link")]["id"] == made.id
    assert claims[lti("target_link_uri")] == f"{LAUNCH}?x=9"
    custom = claims[lti("custom")]
    assert (custom["n"], custom["link_history"]) == ("9", "link-9")
    assert custom["context_history"] == campus.course.id
    assert custom["due"] == "$ResourceLink.submission.endDateTime"


def test_a_copy_of_a_copy_remembers_both_the_latest_first(campus: Campus) -> None:
    first = campus.copy_course()
    second = campus.copy_course(first, "The third time")
    assert second.title == "The third time"
    custom = campus.claims("zoe", second.links[0])[lti("custom")]
    assert custom["context_history"] == f"{first.id},{campus.course.id}"
    assert custom["link_history"] == f"{first.links[0].id},{campus.link().id}"


def test_each_course_has_its_gradebook(campus: Campus, service: Service) -> None:
    service.post_score(comment="in the first course")
    copy = campus.copy_course()
    link = copy.links[0]
    endpoint = campus.claims("zoe", link)[ags("endpoint")]
    listed = service.get(service.path(endpoint["lineitems"]), LINEITEMS_TYPE).json
    assert [item["resourceLinkId"] for item in listed] == [each.id for each in copy.links]
    item = service.path(endpoint["lineitem"])
    assert service.get(item, LINEITEM_TYPE).json["resourceLinkId"] == link.id
    service.get(item.replace(copy.id, campus.course.id), LINEITEM_TYPE, 404)
    service.scores = item.replace("?", "/scores?")
    service.post_score(comment="in the copy")
    book = campus.courses.gradebook(copy)
    latest = book.latest(book.items[0], campus.person("zoe"))
    assert latest is not None and latest.comment == "in the copy"
    assert len(campus.gradebook.scores(campus.gradebook.items[0], campus.person("zoe"))) == 1


def test_a_duplicated_link_is_in_the_same_course(campus: Campus) -> None:
    made = campus.duplicate()
    assert campus.course.links[-1] == made
    claims = campus.claims("zoe", made)
    assert claims[lti("context")]["id"] == campus.course.id
    assert claims[lti("custom")]["link_history"] == campus.link().id
    assert claims[lti("custom")]["context_history"] == "$Context.id.history"
    assert claims[ags("endpoint")]["lineitem"] != campus.claims("zoe")[ags("endpoint")]["lineitem"]


def test_the_teacher_copies_and_duplicates_on_the_course_page(campus: Campus, browser: TestApp) -> None:
    browser.get("/course?as=nora")
    forms = browser.get("/course").forms.values()
    duplicate = next(form for form in forms if form.action.endswith(f"/duplicate/{campus.link().id}"))
    assert "First steps in Python (copy)" in duplicate.submit(status=303).follow().text
    forms = browser.get("/course").forms.values()
    copy = next(form for form in forms if form.action == "/course/copy").submit(status=303).follow()
    assert "Introduction to Notebooks (copy)" in copy.text
    made = campus.courses.all[1]
    assert [link.title for link in made.links][-1].endswith("(copy)")
    launch = copy.click(href=f"/course/launch/{made.links[0].id}", index=0)
    assert launch.html.find("iframe")["src"] == f"/course/open/{made.links[0].id}?target=iframe"
    assert launch.click(href="course=").request.path_qs == f"/course?course={made.id}"
    assert "Introduction to Notebooks (copy)" in copy.click("Grades of this course").text
    assert browser.get(f"/course/return?link={made.links[0].id}").html.find("a", id="back")["href"] == (
        f"/course?course={made.id}"
    )


def test_students_copy_nothing(campus: Campus, browser: TestApp) -> None:
    browser.post("/course/copy", {}, status=403)
    browser.post(f"/course/duplicate/{campus.link().id}", {}, status=403)
    assert "Copy this course" not in browser.get("/course").text
    browser.get("/course?course=none", status=404)
    assert len(campus.courses.all) == 1
