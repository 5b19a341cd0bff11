"""What an assignment's servers may use: by the ini, or as its teacher chose within the bounds of the ini."""

from ipylti import models
from ipylti.errors import SpawnerError
from ipylti.servers.spawner import Limits
from ipylti.settings import Image, Settings

#: The least that a teacher may choose: with less, JupyterLab and one kernel hardly run.
_LEAST_MEMORY = 256 << 20
_LEAST_CPUS = 0.5


def image_of(settings: Settings, assignment: models.Assignment) -> Image:
    """Return the image of an assignment's servers.

    :raises SpawnerError: (``server.image_refused``) it is not in the list, or not any more.
    """
    found = settings.listed_image(assignment.image)
    if found is None:
        raise SpawnerError(f"an image that is not listed: {assignment.image}", code="server.image_refused")
    return found


def copier_image(settings: Settings, assignment: models.Assignment) -> str:
    """Return the image for copying an assignment's files, which has to go on where its own was taken off the
    list."""
    return (settings.listed_image(assignment.image) or settings.images[0]).reference


def limits_of(settings: Settings, assignment: models.Assignment) -> Limits:
    """Return what one of an assignment's servers may use; see :func:`image_of`."""
    image = image_of(settings, assignment)
    memory, cpus = image.memory, image.cpus
    # What was chosen under another ini counts as far as this one lets it.
    if assignment.memory is not None and settings.max_memory is not None:
        memory = min(assignment.memory, settings.max_memory)
    if assignment.cpus is not None and settings.max_cpus is not None:
        cpus = min(assignment.cpus, settings.max_cpus)
    return Limits(memory, cpus, image.pids)


def volume_size_of(settings: Settings, assignment: models.Assignment) -> int | None:
    """Return the bytes that each workspace's files of an assignment may take, None for no limit."""
    return (settings.listed_image(assignment.image) or settings.images[0]).volume_size


def memory_choices(settings: Settings) -> list[int]:
    """Return the bytes of memory that a teacher may choose from; none where it is not for teachers."""
    return [round(each) for each in _doubling(_LEAST_MEMORY, settings.max_memory)]


def cpus_choices(settings: Settings) -> list[float]:
    """Return the cores that a teacher may choose from; none where it is not for teachers."""
    return _doubling(_LEAST_CPUS, settings.max_cpus)


def _doubling(least: float, most: float | None) -> list[float]:
    """Return the least, its double and so on, and at last the most."""
    if most is None:
        return []
    found, each = [], least
    while each < most:
        found.append(each)
        each *= 2
    return [*found, most]
