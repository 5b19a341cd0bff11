"""ipylti: an LTI 1.3 tool that gives everybody in a course an own JupyterLab."""

from typing import Any

from pyramid.config import Configurator


def main(global_config: dict[str, str], **ini: str) -> Any:
    """Return the WSGI application.

    :param ini: the ``[app:main]`` section.
    :raises ipylti.errors.SettingsError: a setting is missing or bad; it is named.
    """
    from ipylti import settings

    with Configurator(settings=dict(ini) | {"ipylti": settings.load(ini)}) as config:
        config.include("pyramid_jinja2")
        config.include("ipylti.services")
        config.include("ipylti.security")
        config.include("ipylti.headers")
        config.include("ipylti.metrics")
        config.include("ipylti.wellformed")
        config.include("ipylti.routes")
        config.scan("ipylti.headers")
        config.scan("ipylti.views")
        return config.make_wsgi_app()
