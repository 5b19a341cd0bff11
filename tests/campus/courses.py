"""All courses, each with its gradebook."""

import itertools
import threading

from .course import Course, Link
from .gradebook import Gradebook
from .registry import Registry


class Courses:
    """The courses of a campus, in the order in which they were made; safe to use from several threads.

    :param registry: what holds for all of them.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._books: dict[str, Gradebook] = {}
        # One row of numbers for all gradebooks: a number says which line item is meant, in any course.
        self._numbers = itertools.count(41)
        self._lock = threading.Lock()
        self.first = self.add(Course())

    @property
    def all(self) -> tuple[Course, ...]:
        """All courses."""
        with self._lock:
            return tuple(book.course for book in self._books.values())

    def add(self, course: Course) -> Course:
        """Begin another course."""
        with self._lock:
            self._books[course.id] = Gradebook(course, self._registry, self._numbers)
        return course

    def find(self, course_id: str) -> Gradebook | None:
        """The gradebook of the course of that id, or None."""
        with self._lock:
            return self._books.get(course_id)

    def gradebook(self, course: Course) -> Gradebook:
        """The gradebook of a course.

        :raises KeyError: for a course that is not of this campus.
        """
        with self._lock:
            return self._books[course.id]

    def book_of(self, link: Link) -> Gradebook:
        """The gradebook of the course in which a link is.

        :raises KeyError: for a link that is in no course.
        """
        with self._lock:
            books = tuple(self._books.values())
        for book in books:
            if book.course.link(link.id) is not None:
                return book
        raise KeyError(link.id)

    def book_with(self, item_id: str) -> Gradebook | None:
        """The gradebook that has the line item of that number, or None."""
        with self._lock:
            books = tuple(self._books.values())
        return next((book for book in books if any(item.id == item_id for item in book.items)), None)

    def link(self, link_id: str) -> Link | None:
        """The link of that id, in whatever course, or None."""
        found = (course.link(link_id) for course in self.all)
        return next((link for link in found if link is not None), None)

    def add_link(self, link: Link, course: Course | None = None) -> Link:
        """Put a link into a course, with its column in the gradebook.

        :param course: the first one if None.
        """
        where = course or self.first
        where.add(link)
        self.gradebook(where).couple(link)
        return link

    def copy(self, course: Course, title: str | None = None) -> Course:
        """A copy of a course as platforms make it: its links and their columns, and nobody's scores."""
        made = self.add(course.copy(title))
        for link in course.links:
            self.add_link(link.copy(), made)
        return made

    def duplicate(self, link: Link) -> Link:
        """A copy of a link in its own course."""
        return self.add_link(link.copy(f"{link.title} (copy)"), self.book_of(link).course)
