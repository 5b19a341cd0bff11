"""Log lines: a fixed message, the fields that were given with it, and the request's id."""

import json
import logging
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ipylti import trace
from ipylti.logs import FieldsFormatter, JSONFormatter
from ipylti.trace import Trace


def record(message: str, *args: object, exc_info: Any = None, **fields: object) -> logging.LogRecord:
    return logging.getLogger("ipylti.test").makeRecord(
        "ipylti.test", logging.WARNING, __file__, 1, message, args, exc_info, extra=fields
    )


def failed() -> logging.LogRecord:
    try:
        raise ZeroDivisionError("why")
    except ZeroDivisionError as err:
        return record("failed", exc_info=(type(err), err, err.__traceback__), workspace="abc")


def line(message: str, *args: object, **fields: object) -> str:
    return FieldsFormatter("%(levelname)s %(name)s: %(message)s").format(record(message, *args, **fields))


def as_json(made: logging.LogRecord) -> Mapping[str, Any]:
    told = JSONFormatter("%(message)s").format(made)
    assert "\n" not in told
    return dict(json.loads(told))


def test_a_message_without_fields_stays_as_it_is() -> None:
    assert line("worker is up") == "WARNING ipylti.test: worker is up"


def test_fields_follow_the_message() -> None:
    told = line("start failed", workspace="abc", code="server.timeout", attempts=3)
    assert told == "WARNING ipylti.test: start failed workspace='abc' code='server.timeout' attempts=3"


def test_a_field_makes_no_line_of_its_own() -> None:
    """What strangers send can't forge a line."""
    assert "\n" not in line("refused", detail="x\nWARNING ipylti.test: all is well")


def test_a_traceback_follows_the_fields() -> None:
    told = FieldsFormatter("%(levelname)s: %(message)s").format(failed())
    assert told.startswith("WARNING: failed workspace='abc'\nTraceback")
    assert told.endswith("ZeroDivisionError: why")


def test_the_request_that_it_is_done_for_follows_the_fields() -> None:
    with trace.begun(Trace("0123456789abcdef")):
        assert line("refused", code="x").endswith("refused code='x' request_id='0123456789abcdef'")
    assert "request_id" not in line("refused", code="x")


def test_a_program_reads_one_object() -> None:
    with trace.begun(Trace("0123456789abcdef")):
        told = as_json(record("copied %s", "all", workspace="abc", size=3, detail="x\ny"))
    assert told["time"].endswith("+00:00")
    assert {name: value for name, value in told.items() if name != "time"} == {
        "level": "WARNING",
        "logger": "ipylti.test",
        "message": "copied all",
        "workspace": "abc",
        "size": 3,
        "detail": "x\ny",
        "request_id": "0123456789abcdef",
    }


def test_a_program_reads_the_traceback_too() -> None:
    told = as_json(failed())
    assert told["message"] == "failed"
    assert told["exc_info"].startswith("Traceback")


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", float("nan"), ValueError("x")])
def test_what_json_does_not_know_breaks_no_line(value: object) -> None:
    assert as_json(record("odd", value=value))["message"] == "odd"


def written(ini: str) -> str:
    """Return the line that a process of its own writes, set up by an ini file of the house."""
    program = (
        "import logging, plaster, sys; plaster.get_loader(sys.argv[1], protocols=['wsgi']).setup_logging();"
        "logging.getLogger('ipylti.test').info('worker is up', extra={'threads': 4})"
    )
    path = Path(__file__).parents[2] / ini
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    return done.stderr


def test_production_writes_for_programs() -> None:
    told = json.loads(written("production.ini"))
    assert (told["logger"], told["level"], told["message"], told["threads"]) == (
        "ipylti.test",
        "INFO",
        "worker is up",
        4,
    )


def test_development_writes_for_people() -> None:
    assert written("development.ini").endswith("INFO    ipylti.test: worker is up threads=4\n")
