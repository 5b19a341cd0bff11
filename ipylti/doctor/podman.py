"""Podman: what it says of itself, and the notebook images."""

import re
from collections.abc import Iterator

from ipylti.doctor.findings import Finding, failed, ok, warning
from ipylti.servers.spawner import EngineFacts, Limits, Spawner
from ipylti.settings import Settings

#: The oldest Podman that ipylti is tested with, and the first whose API it speaks.
_TESTED, _SPOKEN = (4, 3), (4, 0)

_STORAGE = "~/.config/containers/storage.conf"


def version(facts: EngineFacts) -> Finding:
    """Check that Podman is new enough."""
    number = tuple(map(int, re.findall(r"\d+", facts.version)[:2]))
    told = f"Podman {facts.version}"
    if number < _SPOKEN:
        return failed("podman", f"{told} is too old: 4.3 is needed", "sudo apt-get install podman")
    if number < _TESTED:
        return warning("podman", f"{told} is older than what ipylti is tested with, 4.3")
    return ok("podman", told)


def rootless(facts: EngineFacts) -> Finding:
    """Check that containers are an unprivileged user's."""
    if facts.rootless:
        return ok("rootless", "containers are an unprivileged user's")
    return failed(
        "rootless",
        "Podman runs as root: a notebook that broke out would be root",
        "systemctl --user enable --now podman.socket",
    )


def storage(facts: EngineFacts) -> Finding:
    """Check that a server does not cost a copy of its image."""
    if facts.storage == "overlay":
        return ok("storage driver", "overlay")
    told = f"it is {facts.storage}, and should be overlay"
    if facts.storage != "vfs":
        return warning("storage driver", told)
    return failed(
        "storage driver",
        f"{told}: each server costs a whole copy of its image. All images and volumes have to be made anew",
        f"mkdir -p ~/.config/containers && printf '[storage]\\ndriver = \"overlay\"\\n' > {_STORAGE}",
        "podman system reset",
    )


def limits(facts: EngineFacts, wanted: Limits) -> Finding:
    """Check that what is configured can be enforced."""
    pairs = (("memory", wanted.memory), ("cpu", wanted.cpus), ("pids", wanted.pids))
    asked = [name for name, limit in pairs if limit is not None]
    lacking = [name for name in asked if name not in facts.controllers]
    if lacking:
        told = (
            f"Podman can't limit {', '.join(lacking)}, so one notebook can take all; see the check of cgroups"
        )
        return warning("limits", told)
    return ok("limits", f"{', '.join(asked)} are limited" if asked else "none are configured")


def images(spawner: Spawner, settings: Settings) -> Iterator[Finding]:
    """Check that the images that teachers may choose are there, and of the right kind."""
    for image in settings.images:
        about = f"image {image.reference}"
        extension = spawner.image_extension(image.reference)
        if extension is None:
            local = image.reference.startswith("localhost/")
            build = f"podman build --tag {image.reference} containers/notebook"
            yield failed(
                about, "it is not on this machine", build if local else f"podman pull {image.reference}"
            )
        elif not extension:
            yield warning(
                about,
                "it lacks ipylti's extension: where browsers block cookies it opens in a tab, and Submit "
                "does not save what is open",
                "add containers/notebook/labextension to it, as containers/notebook/Containerfile does",
            )
        else:
            yield ok(about, "it is there, with the extension")
