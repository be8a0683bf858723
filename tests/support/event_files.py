"""Readers of event files, made of TensorBoard's own reader and HParams plugin."""

from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups


def read_events(directory: Path) -> EventAccumulator:
    """Return every event of a run, without TensorBoard's downsampling."""
    return EventAccumulator(str(directory), size_guidance={"scalars": 0}).Reload()


def hparams_table(logdir: Path) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Return the content of the HPARAMS tab for a folder.

    Returns:
        The columns of settings, and the settings, metrics and status of each row by its name.
    """
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(logdir))
    multiplexer.Reload()
    data = MultiplexerDataProvider(multiplexer, str(logdir))
    backend = backend_context.Context(TBContext(data_provider=data))
    context = RequestContext()
    found = backend.hparams_metadata(context, "")
    experiment = backend.experiment_from_metadata(context, "", True, found, [])
    statuses = [status.number for status in api_pb2.Status.DESCRIPTOR.values]
    request = api_pb2.ListSessionGroupsRequest(slice_size=100, allowed_statuses=statuses)
    response = list_session_groups.Handler(context, backend, "", request).run()
    rows = {}
    for group in response.session_groups:
        (session,) = group.sessions
        rows[group.name] = {
            "settings": {
                name: getattr(value, value.WhichOneof("kind"))
                for name, value in group.hparams.items()
            },
            "metrics": {metric.name.tag: metric.value for metric in group.metric_values},
            "status": api_pb2.Status.Name(session.status),
        }
    return [info.name for info in experiment.hparam_infos], rows
