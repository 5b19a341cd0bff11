"""Log lines, for people and for programs: a fixed message, the fields that were given with it, and on whose
behalf it was done."""

import logging
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from ipylti import trace

#: What every record has; all else was given by ``extra``.
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class FieldsFormatter(logging.Formatter):
    """For people: appends a record's own fields, ``name=value``, to its message."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line."""
        told = "".join(f" {name}={value!r}" for name, value in _fields(record).items())
        return super().formatMessage(record) + told


class JSONFormatter(JsonFormatter):
    """For programs: one JSON object for each record.

    ``time`` (UTC), ``level``, ``logger``, ``message`` and the record's own fields; a traceback is in
    ``exc_info``.
    """

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Put a record's fields into the object."""
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        log_data["level"] = record.levelname
        log_data["logger"] = record.name
        log_data["message"] = record.getMessage()
        log_data.update(_fields(record))
        log_data.update({name: value for name, value in message_dict.items() if value})


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return a record's own fields, the request id last.

    It is the id of what the thread works at just now: records are written where they are made.
    """
    fields = {name: value for name, value in vars(record).items() if name not in _USUAL}
    request_id = trace.current().request_id
    return fields | ({"request_id": request_id} if request_id else {})
