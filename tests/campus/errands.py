"""What somebody goes to the tool for: each errand ends in a message of its own."""

from dataclasses import dataclass

from .config import Config
from .course import Course, Link
from .gradebook import LineItem
from .people import Person


@dataclass(frozen=True)
class Open:
    """Somebody opens a resource link.

    :param url: target link URI in place of the link's, where a score came with one (Canvas).
    """

    course: Course
    link: Link
    url: str = ""

    @property
    def title(self) -> str:
        """The link's."""
        return self.link.title

    def target_link_uri(self, config: Config) -> str:
        """The tool's, unless the link has its own."""
        return self.url or self.link.url or config.target_link_uri


@dataclass(frozen=True)
class Settings:
    """What a deep linking request asks for (Deep Linking 2.0, `deep_linking_settings`).

    :param accept_types: types of content items.
    :param accept_targets: `accept_presentation_document_targets`.
    :param accept_multiple: whether more than one item may come back.
    :param auto_create: whether an item is in the course at once, without anybody looking at it.
    :param accept_line_item: whether a line item may come along.
    """

    accept_types: tuple[str, ...] = ("ltiResourceLink",)
    accept_targets: tuple[str, ...] = ("iframe", "window")
    accept_multiple: bool = False
    auto_create: bool = True
    accept_line_item: bool = True
    title: str = ""
    text: str = ""


#: One resource link.
ONE_LINK = Settings()


@dataclass(frozen=True)
class Choose:
    """Somebody chooses content in the tool, to be put into the course."""

    course: Course
    settings: Settings = ONE_LINK

    @property
    def title(self) -> str:
        """What the page is called."""
        return "Add an activity"

    def target_link_uri(self, config: Config) -> str:
        """Where the tool has its content chosen."""
        return config.deep_linking_url


@dataclass(frozen=True)
class LookAt:
    """Somebody looks at what somebody handed in.

    :param link: the link of the line item.
    :param about: whose submission it is.
    """

    course: Course
    link: Link
    item: LineItem
    about: Person

    @property
    def title(self) -> str:
        """Whose it is, and of what."""
        return f"{self.about.name}: {self.item.fields.label}"

    def target_link_uri(self, config: Config) -> str:
        """The one that the line item names for this, or the link's."""
        own = self.item.fields.review.url if self.item.fields.review else ""
        return own or self.link.url or config.target_link_uri


Errand = Open | Choose | LookAt
