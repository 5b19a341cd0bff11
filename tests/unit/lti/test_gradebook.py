"""What stands in a gradebook: results in pages, and columns that Deep Linking made: lti.md 21, 27 and 31."""

import math
from typing import Any

import pytest

from ipylti.errors import ServiceError
from ipylti.http import Answer
from ipylti.lti.registrations import Quirks
from ipylti.lti.scores import Result, Scores
from tests.unit.lti.platforms import FakePlatform
from tests.unit.lti.services import Request, Services, answer
from tests.unit.lti.test_scores import ALL, ITEMS, SCOPE, find, item, made

SCOPES = ALL | {SCOPE + "result.readonly"}
BLUEPRINT = {"resourceId": "blueprint-1", "resourceLinkId": "link-1"}


@pytest.fixture
def services() -> Services:
    return Services()


@pytest.fixture
def client(services: Services) -> Scores:
    return made(services)


def test_results_come_page_by_page(client: Scores, services: Services, platform: FakePlatform) -> None:
    """lti.md 27, 28 and 31: the path before the query, the exact media type, all pages."""

    def page(request: Request) -> Answer:
        if request.query.get("page") == ["2"]:
            return answer([{"userId": "c", "resultScore": 0, "resultMaximum": 1}])
        rows = [{"userId": "a", "resultScore": 7.5, "resultMaximum": 10}, {"userId": "b"}, {"resultScore": 5}]
        return answer(rows, link=f'<{ITEMS}/1/results?type_id=7&page=2>; rel="next"')

    services.gets["/items/1/results"] = page
    found = list(client.results(platform.registration, f"{ITEMS}/1?type_id=7", SCOPES))
    assert found == [Result("a", 7.5, 10), Result("b", None, None), Result("c", 0, 1)]
    first, _second = services.named("/items/1/results")
    assert first.query == {"type_id": ["7"], "limit": ["100"]}
    assert first.headers["accept"] == "application/vnd.ims.lis.v2.resultcontainer+json"


def test_no_limit_where_the_platform_pages_wrongly_with_it(client: Scores, services: Services) -> None:
    """lti.md 27."""
    services.gets["/items/1/results"] = lambda _: answer([])
    list(client.results(FakePlatform(quirks=Quirks(no_ags_limit=True)).registration, f"{ITEMS}/1", SCOPES))
    assert services.asked[-1].query == {}


def test_a_result_that_can_not_be_read_stands_all_the_same(
    client: Scores, services: Services, platform: FakePlatform
) -> None:
    """lti.md 29: nothing may clear it."""
    services.gets["/items/1/results"] = lambda _: answer([{"userId": "a", "resultScore": "five"}])
    (found,) = client.results(platform.registration, f"{ITEMS}/1", SCOPES)
    assert found.score is not None
    assert math.isnan(found.score)
    assert client.is_graded(platform.registration, f"{ITEMS}/1", "a", SCOPES)


def test_results_on_another_origin_are_not_followed(
    client: Scores, services: Services, platform: FakePlatform
) -> None:
    """lti.md 31."""
    services.gets["/items/1/results"] = lambda _: answer([], link='<https://other.example/r>; rel="next"')
    with pytest.raises(ServiceError) as error:
        list(client.results(platform.registration, f"{ITEMS}/1", SCOPES))
    assert error.value.code == "service.paging"


def columns(services: Services, *items: dict[str, Any]) -> None:
    """Have the platform hold these columns; it knows the filters."""

    def page(request: Request) -> Answer:
        wanted = {name: values[0] for name, values in request.query.items()}
        names = {"resource_id": "resourceId", "tag": "tag", "resource_link_id": "resourceLinkId"}
        asked = {names[name]: value for name, value in wanted.items() if name in names}
        return answer([each for each in items if asked.items() <= each.items()])

    services.gets["/items"] = page
    services.posts["/items"] = lambda _: answer(item(9), 201)


def test_the_column_that_deep_linking_made_is_the_links(
    client: Scores, services: Services, platform: FakePlatform
) -> None:
    """lti.md 21 and 27."""
    columns(services, item(3, **BLUEPRINT))
    assert find(client, platform, blueprint="blueprint-1") == f"{ITEMS}/3"


@pytest.mark.parametrize("link", ["link-2", None])
def test_the_column_of_another_copy_is_not(
    client: Scores, services: Services, platform: FakePlatform, link: str | None
) -> None:
    """lti.md 21: all copies of a link carry the same id."""
    columns(services, item(3, **BLUEPRINT | {"resourceLinkId": link}))
    assert find(client, platform, blueprint="blueprint-1") == f"{ITEMS}/9"


def test_the_assignments_own_column_goes_first(
    client: Scores, services: Services, platform: FakePlatform
) -> None:
    """lti.md 27."""
    columns(services, item(3, **BLUEPRINT), item(4))
    assert find(client, platform, blueprint="blueprint-1") == f"{ITEMS}/4"
