"""Content items that tools send, read strictly (Deep Linking 2.0, "Content item types")."""

from collections.abc import Collection
from datetime import datetime

from .course import Link, Review, new_link_id
from .shapes import Fields, bad, origin_of
from .wire import read_maximum, read_review

RESOURCE_LINK = "ltiResourceLink"

_LINK_MEMBERS = (
    "type", "url", "title", "text", "icon", "thumbnail", "window", "iframe", "custom", "lineItem",
    "available", "submission",
)  # fmt: skip
_LINE_ITEM_MEMBERS = ("label", "scoreMaximum", "resourceId", "tag", "gradesReleased", "submissionReview")
_PICTURE_MEMBERS = ("url", "width", "height")
_WINDOW_MEMBERS = ("targetName", "width", "height", "windowFeatures")
_FRAME_MEMBERS = ("src", "width", "height")


def read_items(
    items: tuple[Fields, ...], accepted: Collection[str], line_items: bool, origins: Collection[str]
) -> tuple[Link, ...]:
    """The links that content items describe, in their order.

    :param accepted: the types that were asked for.
    :param line_items: whether line items were asked for.
    :param origins: the tool's: its links lead nowhere else.
    :raises Refused: 400.
    """
    links = []
    for item in items:
        kind = item.text("type", required=True)
        if kind not in accepted:
            raise bad(f"{item.name('type')} is '{kind}', which was not asked for")
        if kind != RESOURCE_LINK:
            raise bad(f"{item.name('type')} is '{kind}', for which campus has no place")
        if not line_items and "lineItem" in item.body:
            raise bad(f"{item.name('lineItem')} was not asked for")
        links.append(_read_link(item, origins))
    return tuple(links)


def _read_link(item: Fields, origins: Collection[str]) -> Link:
    item.known_only(*_LINK_MEMBERS)
    url = item.url("url")
    if url and origin_of(url) not in origins:
        raise bad(f"{item.name('url')} is not on the tool's origin")
    _check_looks(item)
    available_from, available_until = _period(item, "available")
    _, due = _period(item, "submission")
    line = item.object("lineItem")
    review = _read_line(line, origins) if line else None
    title = item.text("title") or (line.text("label") if line else "")
    if not title.strip():
        raise bad(f"{item.name('title')} is missing")
    return Link(
        id=new_link_id(),
        title=title,
        description=item.text("text"),
        due=due,
        points=read_maximum(line) if line else None,
        url=url,
        custom=item.text_map("custom"),
        available_from=available_from,
        available_until=available_until,
        label=line.text("label") if line else "",
        resource_id=line.text("resourceId") if line else "",
        tag=line.text("tag") if line else "",
        review=review,
    )


def _read_line(line: Fields, origins: Collection[str]) -> Review | None:
    """Look at a line item's members beside its maximum; returns how its submissions are looked at."""
    line.known_only(*_LINE_ITEM_MEMBERS)
    line.boolean("gradesReleased", True)
    review = read_review(line)
    if review is not None and review.url and origin_of(review.url) not in origins:
        raise bad(f"{line.name('submissionReview.url')} is not on the tool's origin")
    return review


def _check_looks(item: Fields) -> None:
    """What a link looks like: campus has one look for all, but wrong members are wrong."""
    for name in ("icon", "thumbnail"):
        picture = item.object(name)
        if picture is not None:
            picture.known_only(*_PICTURE_MEMBERS)
            picture.url("url", required=True)
    for name, members in (("window", _WINDOW_MEMBERS), ("iframe", _FRAME_MEMBERS)):
        frame = item.object(name)
        if frame is not None:
            frame.known_only(*members)
            for size in ("width", "height"):
                frame.number(size)


def _period(item: Fields, name: str) -> tuple[datetime | None, datetime | None]:
    """A time that begins and a time that ends, each None if it is not given."""
    found = item.object(name)
    if found is None:
        return None, None
    found.known_only("startDateTime", "endDateTime")
    begins, ends = found.time("startDateTime"), found.time("endDateTime")
    if begins is not None and ends is not None and ends <= begins:
        raise bad(f"{item.name(name)} ends before it begins")
    return begins, ends
