"""OpenTelemetry spans, where the extra ``otel`` is installed; nothing otherwise.

Only the API is used: whoever runs this chooses the exporter, as OpenTelemetry's own variables say
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

try:
    from opentelemetry import trace
except ModuleNotFoundError:
    trace = None  # type: ignore[assignment]

__all__ = ["span"]


@contextmanager
def span(name: str, **attributes: str | int | float) -> Iterator[None]:
    """Record what is done inside as one span; an error that leaves it is told by its kind.

    Args:
        name: What is done, ``engage.…``.
        attributes: Names and counts; never a person, an address or a key.
    """
    if trace is None:
        yield
        return
    given = {f"engage.{key}": value for key, value in attributes.items()}
    tracer = trace.get_tracer("engage")
    with tracer.start_as_current_span(
        name, attributes=given, record_exception=False, set_status_on_exception=False
    ) as one:
        try:
            yield
        except BaseException as error:
            one.set_status(trace.StatusCode.ERROR, type(error).__name__)
            raise
