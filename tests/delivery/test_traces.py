from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import engage
from engage.errors import ConfigurationError
from engage.traces import span

SENDS = """
import sys, engage
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
engage.Workspace.open(sys.argv[1]).campaign("news").send()
for one in exporter.get_finished_spans():
    print(one.name, one.parent is not None, dict(one.attributes))
"""


def test_a_send_is_traced_without_personal_data(workspace: engage.Workspace) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    workspace.land_profiles([{"user_id": "anna", "email": "anna@example.com"}], now=now)
    content = {"subject": "Hi", "text": "Hello"}
    workspace.create_campaign("news", {"title": "News", "channel": "email", "everyone": True, "content": content})
    done = subprocess.run(
        [sys.executable, "-c", SENDS, str(workspace.root)],
        env={**os.environ, "PYTHONPATH": str(Path(engage.__file__).parent.parent)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["engage.land", "engage.deliver"]
    assert "'engage.run': 'news-once'" in lines[1]
    assert lines[0].split()[1] == "True", "landing is a part of delivering"
    assert "anna" not in done.stdout


def test_without_a_provider_of_traces_nothing_changes_and_errors_pass(monkeypatch: Any) -> None:
    with pytest.raises(ConfigurationError), span("engage.test", run="r"):
        raise ConfigurationError("no")
    monkeypatch.setattr("engage.traces.trace", None)
    with pytest.raises(ConfigurationError), span("engage.test"):
        raise ConfigurationError("no")
