"""Log lines for people: a fixed message, and the fields that were given with it."""

import logging

#: What every record has; all else was given by ``extra``.
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class FieldsFormatter(logging.Formatter):
    """Appends a record's own fields, ``name=value``, to its message."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = {name: value for name, value in vars(record).items() if name not in _USUAL}
        told = "".join(f" {name}={value!r}" for name, value in fields.items())
        return super().formatMessage(record) + told
