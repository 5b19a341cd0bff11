"""Who asks: a person's browser, which gets a page, or a script, which gets JSON."""

from pyramid.request import Request


def wants_json(request: Request) -> bool:
    """Return whether JSON is asked for rather than a page; who takes anything gets the page."""
    offers = request.accept.acceptable_offers(["text/html", "application/json"])
    return bool(offers) and offers[0][0] == "application/json"
