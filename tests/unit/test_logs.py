"""Log lines: a fixed message, and the fields that were given with it."""

import logging

from ipylti.logs import FieldsFormatter


def line(message: str, *args: object, **fields: object) -> str:
    record = logging.getLogger("ipylti.test").makeRecord(
        "ipylti.test", logging.WARNING, __file__, 1, message, args, None, extra=fields
    )
    return FieldsFormatter("%(levelname)s %(name)s: %(message)s").format(record)


def test_a_message_without_fields_stays_as_it_is() -> None:
    assert line("worker is up") == "WARNING ipylti.test: worker is up"


def test_fields_follow_the_message() -> None:
    told = line("start failed", workspace="abc", code="server.timeout", attempts=3)
    assert told == "WARNING ipylti.test: start failed workspace='abc' code='server.timeout' attempts=3"


def test_a_field_makes_no_line_of_its_own() -> None:
    """What strangers send can't forge a line."""
    assert "\n" not in line("refused", detail="x\nWARNING ipylti.test: all is well")


def test_a_traceback_follows_the_fields() -> None:
    try:
        raise ZeroDivisionError("why")
    except ZeroDivisionError as err:
        record = logging.makeLogRecord({"msg": "failed", "levelname": "ERROR", "workspace": "abc"})
        record.exc_info = (type(err), err, err.__traceback__)
    told = FieldsFormatter("%(levelname)s: %(message)s").format(record)
    assert told.startswith("ERROR: failed workspace='abc'\nTraceback")
    assert told.endswith("ZeroDivisionError: why")
