"""``ipylti status``: how it is, at a glance."""

from typing import Any

import click

from ipylti.cli.common import as_json, ini_argument, load, open_sessions, print_record
from ipylti.metrics import Installation
from ipylti.services import Services

#: What is shown -> the metric that says it, and the metric's label where there are several numbers.
_SHOWN = {
    "parts": ("ipylti_up", "part"),
    "servers": ("ipylti_servers", "state"),
    "waiting_for_a_start": ("ipylti_queue_length", None),
    "jobs_waiting": ("ipylti_jobs_waiting", "queue"),
    "scores": ("ipylti_outbox_items", "state"),
    "oldest_score_seconds": ("ipylti_outbox_oldest_seconds", None),
    "submissions": ("ipylti_submissions", "state"),
    "oldest_submission_seconds": ("ipylti_submissions_oldest_seconds", None),
    "workers": ("ipylti_workers", None),
    "memory_available_bytes": ("ipylti_host_memory_available_bytes", None),
}


@click.command()
@ini_argument
@as_json
def status(ini: str, as_json: bool) -> None:
    """Show parts, servers, queues and scores at a glance; the same numbers as the metrics."""
    config = load(ini)
    open_sessions(config)
    families = {family.name: family.samples for family in Installation(Services(config)).collect()}
    record: dict[str, Any] = {}
    for shown, (metric, label) in _SHOWN.items():
        samples = families.get(metric, [])
        if label is not None:
            record[shown] = {sample.labels[label]: int(sample.value) for sample in samples}
        else:
            record[shown] = int(samples[0].value) if samples else None
    record["parts"] = {part: "ok" if up else "down" for part, up in record["parts"].items()}
    print_record(record, as_json)
