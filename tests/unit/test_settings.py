"""Settings: what may stand in the ini file, and what is said of everything else."""

import dataclasses
import hashlib
from configparser import RawConfigParser
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from ipylti.errors import SettingsError
from ipylti.settings import DEVELOPMENT_SECRET, Image, Settings, load

SECRET = "6b1f0c9e8d27a45330f4e1b2c7d8596a"

INI = {
    "ipylti.url": "https://tool.example",
    "ipylti.notebook_domain": "notebooks.example",
    "ipylti.secret": SECRET,
    "ipylti.podman_url": "unix:///podman.sock",
    "sqlalchemy.url": "sqlite:///ipylti.sqlite",
    "redis.sessions.url": "redis://127.0.0.1:6379/0",
}

LOCAL = INI | {"ipylti.url": "http://ipylti.localhost:8000", "ipylti.notebook_domain": "notebook.localhost"}

quick = profile(max_examples=100, deadline=None)


def loaded(**changes: str) -> Settings:
    """Return the settings with keys changed; ``url`` stands for ``ipylti.url``."""
    return load(INI | {f"ipylti.{name}": value for name, value in changes.items()}, {})


def complaint(ini: dict[str, str], environ: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load(ini, environ or {})
    assert "\n" not in caught.value.detail
    return caught.value.detail


@pytest.mark.parametrize(
    "key",
    ["ipylti.url", "ipylti.notebook_domain", "ipylti.secret", "sqlalchemy.url", "redis.sessions.url"],
)
def test_a_missing_key_is_named_with_the_variable_that_could_give_it(key: str) -> None:
    told = complaint({name: value for name, value in INI.items() if name != key})
    assert told.startswith(f"{key}: missing")
    assert key.upper().replace(".", "_") in told


def test_podmans_address_is_the_users_own_unless_told() -> None:
    ini = {name: value for name, value in INI.items() if name != "ipylti.podman_url"}
    told = load(ini, {"XDG_RUNTIME_DIR": "/run/user/1000"})
    assert told.podman_url == "unix:///run/user/1000/podman/podman.sock"
    assert complaint(ini).startswith("ipylti.podman_url: missing")


BAD = [
    ("ipylti.url", "tool.example"),
    ("ipylti.url", "ftp://tool.example"),
    ("ipylti.url", "https://"),
    ("ipylti.url", "https://tool.example/path"),
    ("ipylti.url", "https://tool.example?query"),
    ("ipylti.url", "https://tool.example#part"),
    ("ipylti.url", "https://somebody@tool.example"),
    ("ipylti.url", "https://tool example"),
    ("ipylti.url", "https://tool.example;script-src"),
    ("ipylti.url", "https://tool.example:port"),
    ("ipylti.url", "https://tool.example:70000"),
    ("ipylti.url", "https://[::1"),
    ("ipylti.notebook_domain", "https://notebooks.example"),
    ("ipylti.notebook_domain", "notebooks.example:8000"),
    ("ipylti.notebook_domain", ".notebooks.example"),
    ("ipylti.notebook_domain", "notebooks..example"),
    ("ipylti.notebook_domain", "note_books.example"),
    ("ipylti.notebook_domain", "-.example"),
    ("ipylti.notebook_domain", "a." * 150 + "example"),
    ("ipylti.notebook_scheme", "ftp"),
    ("ipylti.notebook_scheme", "HTTPS"),
    ("ipylti.notebook_port", "0"),
    ("ipylti.notebook_port", "65536"),
    ("ipylti.notebook_port", "-1"),
    ("ipylti.notebook_port", "4 4"),
    ("ipylti.notebook_port", "²"),
    ("ipylti.traefik_url", "127.0.0.1:443"),
    ("ipylti.keep_launches", "0"),
    ("ipylti.keep_submissions", "-1"),
    ("ipylti.keep_workspaces", "90d"),
    ("ipylti.key_lifetime", "-1"),
    ("ipylti.key_lifetime", "90d"),
    ("ipylti.key_lifetime", "3651"),
    ("ipylti.key_lifetime", "never"),
    ("ipylti.memory", "much"),
    ("ipylti.memory", "0"),
    ("ipylti.memory", "0.0001k"),
    ("ipylti.memory", "-1g"),
    ("ipylti.memory", "1p"),
    ("ipylti.memory", "9" * 400 + "t"),
    ("ipylti.cpus", "0"),
    ("ipylti.cpus", "-1"),
    ("ipylti.cpus", "two"),
    ("ipylti.cpus", "nan"),
    ("ipylti.cpus", "inf"),
    ("ipylti.pids", "1"),
    ("ipylti.pids", "many"),
    ("ipylti.idle_timeout", "0"),
    ("ipylti.idle_timeout", "0.00000001s"),
    ("ipylti.idle_timeout", "1w"),
    ("ipylti.idle_timeout", "soon"),
    ("ipylti.idle_timeout", "9" * 400 + "d"),
    ("ipylti.max_starting", "0"),
    ("ipylti.max_starting", "none"),
    ("ipylti.max_servers", "0"),
    ("ipylti.max_servers", "1.5"),
    ("ipylti.start_timeout", "none"),
    ("ipylti.egress", "yes"),
    ("ipylti.secret", "too short"),
    ("ipylti.allow_private_platforms", "perhaps"),
    ("ipylti.administrators_are_staff", "2"),
    ("sqlalchemy.url", "mysql://127.0.0.1/ipylti"),
    ("sqlalchemy.url", "ipylti.sqlite"),
    ("redis.sessions.url", "127.0.0.1:6379"),
    ("redis.sessions.url", "http://127.0.0.1:6379"),
    ("redis.sessions.url", "redis://127.0.0.1:port"),
]


@pytest.mark.parametrize(("key", "value"), BAD)
def test_a_bad_value_is_refused_and_its_key_named(key: str, value: str) -> None:
    told = complaint(INI | {key: value})
    assert told.startswith(f"{key}: ")
    assert len(told) < 300


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("https://tool.example/", "https://tool.example"),
        ("https://TOOL.example", "https://tool.example"),
        ("https://tool.example:443", "https://tool.example"),
        ("https://tool.example:8443", "https://tool.example:8443"),
        ("https://192.0.2.1", "https://192.0.2.1"),
        ("https://[2001:DB8::1]:8443/", "https://[2001:db8::1]:8443"),
        ("  https://tool.example  ", "https://tool.example"),
    ],
)
def test_the_tools_origin_is_kept_as_browsers_write_it(value: str, kept: str) -> None:
    told = loaded(url=value)
    assert told.url == kept
    assert told.launch_url == f"{kept}/launch"


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("1", 1),
        ("512", 512),
        ("512k", 512 << 10),
        ("512m", 512 << 20),
        ("512MB", 512 << 20),
        ("512 MiB", 512 << 20),
        ("1.5g", 3 << 29),
        ("1t", 1 << 40),
        ("none", None),
        ("None", None),
    ],
)
def test_sizes(value: str, size: int | None) -> None:
    assert loaded(memory=value).memory == size


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("90", timedelta(seconds=90)),
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("1.5 h", timedelta(minutes=90)),
        ("2d", timedelta(days=2)),
    ],
)
def test_durations(value: str, time: timedelta) -> None:
    assert loaded(idle_timeout=value).idle_timeout == time


@pytest.mark.parametrize("value", ["true", "YES", "on", "1"])
def test_yes(value: str) -> None:
    assert loaded(allow_private_platforms=value).allow_private_platforms is True


@pytest.mark.parametrize("value", ["false", "No", "OFF", "0"])
def test_no(value: str) -> None:
    assert loaded(allow_private_platforms=value).allow_private_platforms is False


@quick
@given(st.sampled_from(sorted({key for key, _ in BAD})), st.text(max_size=20))
def test_any_text_is_a_value_or_a_complaint_that_names_the_key(key: str, value: str) -> None:
    try:
        load(INI | {key: value}, {})
    except SettingsError as err:
        assert err.detail.startswith(key)


@quick
@given(st.integers(1, 10**6), st.sampled_from(["", "k", "m", "g"]))
def test_any_size_is_kept_to_the_byte(number: int, unit: str) -> None:
    assert loaded(memory=f"{number}{unit}").memory == number * 1024 ** ["", "k", "m", "g"].index(unit)


@quick
@given(st.integers(1, 10**6), st.sampled_from("smhd").filter(bool))
def test_any_duration_is_positive_and_in_its_unit(number: int, unit: str) -> None:
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
    if number * seconds < 10**9:
        assert loaded(start_timeout=f"{number}{unit}").start_timeout == timedelta(seconds=number * seconds)


def test_the_defaults() -> None:
    told = loaded()
    assert told.notebook_scheme == "https"
    assert told.notebook_port == 443
    assert told.traefik_url == "https://127.0.0.1"
    assert told.image == "localhost/ipylti-notebook:latest"
    assert (told.memory, told.cpus, told.pids) == (1 << 30, 1.0, 512)
    assert told.idle_timeout == timedelta(hours=1)
    assert told.start_timeout == timedelta(seconds=60)
    assert told.max_starting >= 1
    assert told.max_servers is None
    assert told.egress is True
    assert told.allow_private_platforms is False
    assert told.administrators_are_staff is False
    assert told.key_lifetime == timedelta(days=90)
    assert told.keep_launches == timedelta(days=365)
    assert (told.keep_submissions, told.keep_workspaces) == (None, None), "work stays"


def test_nothing_is_limited_where_it_says_none() -> None:
    told = loaded(memory="none", cpus="none", pids="none", max_servers="none", volume_size="none")
    assert (told.memory, told.cpus, told.pids, told.max_servers, told.volume_size) == (None,) * 5


def test_a_key_may_sign_for_ever() -> None:
    assert loaded(key_lifetime="0").key_lifetime is None


def test_egress_none_cuts_servers_off() -> None:
    assert loaded(egress="none").egress is False


def test_an_unknown_key_is_most_likely_a_misspelt_one() -> None:
    assert complaint(INI | {"ipylti.idle_timeuot": "1h"}) == "ipylti.idle_timeuot: unknown key"


def test_other_programs_keys_are_none_of_our_business() -> None:
    load(INI | {"pyramid.includes": "pyramid_debugtoolbar", "use": "egg:ipylti"}, {})


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Settings)])
def test_every_setting_can_come_from_the_environment(field: str) -> None:
    """… so that no secret need be in a file."""
    values: dict[str, tuple[str, str, Any]] = {
        "url": ("IPYLTI_URL", "https://other.example", "https://other.example"),
        "notebook_domain": ("IPYLTI_NOTEBOOK_DOMAIN", "lab.example", "lab.example"),
        "notebook_scheme": ("IPYLTI_NOTEBOOK_SCHEME", "https", "https"),
        "notebook_port": ("IPYLTI_NOTEBOOK_PORT", "8443", 8443),
        "traefik_url": ("IPYLTI_TRAEFIK_URL", "http://127.0.0.1:81", "http://127.0.0.1:81"),
        "podman_url": ("IPYLTI_PODMAN_URL", "unix:///other.sock", "unix:///other.sock"),
        "image": ("IPYLTI_IMAGE", "localhost/other", "localhost/other"),
        "images": (
            "IPYLTI_IMAGES",
            "localhost/r  R and more",
            (
                Image("localhost/ipylti-notebook:latest", "Standard", 1 << 30, 1.0, 512, 2 << 30),
                Image("localhost/r", "R and more", 1 << 30, 1.0, 512, 2 << 30),
            ),
        ),
        "memory": ("IPYLTI_MEMORY", "2g", 2 << 30),
        "cpus": ("IPYLTI_CPUS", "0.5", 0.5),
        "pids": ("IPYLTI_PIDS", "99", 99),
        "volume_size": ("IPYLTI_VOLUME_SIZE", "none", None),
        "max_memory": ("IPYLTI_MAX_MEMORY", "8g", 8 << 30),
        "max_cpus": ("IPYLTI_MAX_CPUS", "4", 4.0),
        "idle_timeout": ("IPYLTI_IDLE_TIMEOUT", "5m", timedelta(minutes=5)),
        "min_free_memory": ("IPYLTI_MIN_FREE_MEMORY", "2g", 2 << 30),
        "max_age": ("IPYLTI_MAX_AGE", "none", None),
        "max_starting": ("IPYLTI_MAX_STARTING", "7", 7),
        "max_servers": ("IPYLTI_MAX_SERVERS", "70", 70),
        "start_timeout": ("IPYLTI_START_TIMEOUT", "9s", timedelta(seconds=9)),
        "egress": ("IPYLTI_EGRESS", "none", False),
        "secret": ("IPYLTI_SECRET", SECRET[::-1], SECRET[::-1]),
        "allow_private_platforms": ("IPYLTI_ALLOW_PRIVATE_PLATFORMS", "true", True),
        "trust_new_deployments": ("IPYLTI_TRUST_NEW_DEPLOYMENTS", "true", True),
        "administrators_are_staff": ("IPYLTI_ADMINISTRATORS_ARE_STAFF", "true", True),
        "key_lifetime": ("IPYLTI_KEY_LIFETIME", "30", timedelta(days=30)),
        "keep_launches": ("IPYLTI_KEEP_LAUNCHES", "none", None),
        "keep_submissions": ("IPYLTI_KEEP_SUBMISSIONS", "3650", timedelta(days=3650)),
        "keep_workspaces": ("IPYLTI_KEEP_WORKSPACES", "400", timedelta(days=400)),
        "title": ("IPYLTI_TITLE", "Labs", "Labs"),
        "database_url": ("SQLALCHEMY_URL", "sqlite:///other.sqlite", "sqlite:///other.sqlite"),
        "redis_url": ("REDIS_SESSIONS_URL", "redis://127.0.0.1/9", "redis://127.0.0.1/9"),
    }
    variable, text, value = values[field]
    assert getattr(load(INI, {variable: text}), field) == value


def test_the_usual_image_comes_first_under_its_title_if_it_has_one() -> None:
    listed = "localhost/r  R\n\n  localhost/a  Python 3.13 \nlocalhost/bare"
    found = load(INI | {"ipylti.image": "localhost/a", "ipylti.images": listed}, {}).images
    assert [(each.reference, each.title) for each in found] == [
        ("localhost/a", "Python 3.13"),
        ("localhost/r", "R"),
        ("localhost/bare", "localhost/bare"),
    ]


def test_an_image_may_have_limits_of_its_own() -> None:
    listed = "localhost/r  memory=4g cpus=2.5  volume_size=none R = fun\nlocalhost/bare pids=64"
    usual, r, bare = load(INI | {"ipylti.images": listed, "ipylti.volume_size": "3g"}, {}).images
    assert (r.title, r.memory, r.cpus, r.pids, r.volume_size) == ("R = fun", 4 << 30, 2.5, usual.pids, None)
    assert (bare.title, bare.memory, bare.pids, bare.volume_size) == (
        "localhost/bare",
        usual.memory,
        64,
        3 << 30,
    )


def test_the_usual_image_may_too() -> None:
    (usual,) = loaded(image="localhost/a", images="localhost/a memory=2g Python", memory="1g").images
    assert (usual.title, usual.memory) == ("Python", 2 << 30)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "localhost/r memroy=2g R",
            "localhost/r: memroy is none of the limits: memory, cpus, pids, volume_size",
        ),
        ("localhost/r memory=much R", "localhost/r: memory must be a size like 512m or 1g"),
        ("localhost/r pids=2", "localhost/r: pids must be a whole number from 16 to 4194304"),
    ],
)
def test_a_bad_limit_of_an_image_is_named(line: str, words: str) -> None:
    assert complaint(INI | {"ipylti.images": line}) == f"ipylti.images: {words}"


def test_an_image_is_listed_or_it_is_none() -> None:
    told = loaded(image="localhost/a", images="localhost/r R")
    found = [told.listed_image(each) for each in (None, "localhost/a", "localhost/r", "localhost/x")]
    assert [each and each.reference for each in found] == ["localhost/a", "localhost/a", "localhost/r", None]


def test_a_bad_value_in_the_environment_is_named_too() -> None:
    assert complaint(INI, {"IPYLTI_MEMORY": "much"}).startswith("ipylti.memory: ")


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://tool.example", "tool.example"),
        ("https://tool.example", "example"),
        ("https://a.b.example", "b.example"),
        ("https://TOOL.example", "Tool.Example"),
    ],
)
def test_notebooks_do_not_share_the_tools_host_or_a_parent_of_it(url: str, domain: str) -> None:
    """The tool itself would be one of the hosts that student code controls."""
    told = complaint(INI | {"ipylti.url": url, "ipylti.notebook_domain": domain})
    assert told.startswith("ipylti.notebook_domain: ")


@pytest.mark.parametrize("domain", ["notebooks.example", "ool.example", "xtool.example", "other.org"])
def test_notebooks_may_stand_beside_the_tool(domain: str) -> None:
    assert loaded(notebook_domain=domain).notebook_domain == domain


def test_the_secret_of_the_demo_serves_nothing_but_the_demo() -> None:
    assert load(LOCAL | {"ipylti.secret": DEVELOPMENT_SECRET}, {}).secret == DEVELOPMENT_SECRET
    told = complaint(INI | {"ipylti.secret": DEVELOPMENT_SECRET})
    assert told.startswith("ipylti.secret: ")


@pytest.mark.parametrize(
    "secret",
    [
        "changeme" * 4,
        ("changeme" * 5)[:37],
        "change-me-4f0c2d9b71e8a6534f0c2d9b",
        "x" * 40,
        "0123456789abcdef" * 2,
        "abababababababababababababababac",
        "Secret-of-our-university-42-0815-",
        "correct-password-battery-staple-4711",
    ],
)
def test_a_secret_that_can_be_guessed_is_none(secret: str) -> None:
    told = complaint(INI | {"ipylti.secret": secret})
    assert told.startswith("ipylti.secret: can be guessed")
    assert secret not in told
    assert load(LOCAL | {"ipylti.secret": secret}, {}).secret == secret


@quick
@given(st.binary(min_size=16, max_size=64))
def test_a_secret_made_by_chance_is_one(chance: bytes) -> None:
    digest = hashlib.sha256(chance).hexdigest()
    assert loaded(secret=digest).secret == digest


@pytest.mark.parametrize("host", ["tool.example", "127.0.0.1", "localhost.example", "notlocalhost"])
def test_without_https_there_is_only_localhost(host: str) -> None:
    assert complaint(INI | {"ipylti.url": f"http://{host}"}).startswith("ipylti.url: must be https")


def test_notebooks_need_https_too() -> None:
    told = complaint(INI | {"ipylti.notebook_scheme": "http"})
    assert told.startswith("ipylti.notebook_scheme: must be https")


def test_on_localhost_http_will_do() -> None:
    told = load(LOCAL | {"ipylti.notebook_scheme": "http", "ipylti.notebook_port": "8000"}, {})
    assert told.notebook_origin("abc") == "http://abc.notebook.localhost:8000"
    assert told.traefik_url == "http://127.0.0.1:8000"


def test_no_secret_shows_when_settings_are_printed() -> None:
    ini = INI | {
        "sqlalchemy.url": "postgresql+psycopg://ipylti:db-password@db.example/ipylti",
        "redis.sessions.url": "redis://:redis-password@redis.example/0",
    }
    shown = repr(load(ini, {}))
    for secret in (SECRET, "db-password", "redis-password"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("redis.sessions.url", "redis://:hush#hush@127.0.0.1/0"),
        ("redis.sessions.url", "rdis://:hush@127.0.0.1/0"),
        ("sqlalchemy.url", "mysql://ipylti:hush@127.0.0.1/ipylti"),
        ("ipylti.secret", "hush"),
    ],
)
def test_no_secret_shows_in_a_complaint(key: str, value: str) -> None:
    assert "hush" not in complaint(INI | {key: value})


def test_a_password_may_hold_what_it_likes() -> None:
    url = "postgresql+psycopg://ipylti:p#a/s[s@db.example/ipylti"
    assert load(INI | {"sqlalchemy.url": url}, {}).database_url == url


def test_settings_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded().url = "https://other.example"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("abc.notebooks.example", True),
        ("ABC.Notebooks.Example", True),
        ("notebooks.example", False),
        ("xnotebooks.example", False),
        ("abc.notebooks.example.evil.example", False),
        ("", False),
    ],
)
def test_notebook_hosts_are_known_by_their_name(host: str, is_one: bool) -> None:
    assert loaded().is_notebook_host(host) is is_one


def test_each_purpose_has_a_key_of_its_own() -> None:
    one, other = loaded(), loaded(secret=SECRET[::-1])
    keys = {config.key(purpose) for config in (one, other) for purpose in ("gate cookie", "session cookie")}
    assert len(keys) == 4
    tokens = {config.jupyter_token(workspace) for config in (one, other) for workspace in ("a", "b")}
    assert len(tokens) == 4
    assert one.jupyter_token("a") == loaded().jupyter_token("a")


def test_two_installations_on_one_podman_tell_their_servers_apart() -> None:
    assert loaded().instance != loaded(url="https://other.example").instance
    assert loaded().instance == loaded(title="Labs").instance


@pytest.mark.parametrize("name", ["development.ini", "production.ini"])
def test_the_files_that_come_along_can_be_read(name: str) -> None:
    path = Path(__file__).parents[2] / name
    parser = RawConfigParser()
    parser.read(path)
    ini = {key: value.replace("%(here)s", str(path.parent)) for key, value in parser["app:main"].items()}
    told = load(
        ini,
        {
            "XDG_RUNTIME_DIR": "/run/user/1000",
            **({} if "ipylti.secret" in ini else {"IPYLTI_SECRET": SECRET}),
        },
    )
    assert told.url
