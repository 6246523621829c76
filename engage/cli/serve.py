"""``engage serve``: the server."""

from __future__ import annotations

import click

from engage.cli.options import opened
from engage.errors import ConfigurationError

__all__ = ["serve"]


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="The port.")
@click.pass_context
def serve(context: click.Context, host: str, port: int) -> None:
    """Collect events over HTTP, in Segment's way; keys are in ENGAGE_WRITE_KEYS."""
    try:
        import uvicorn

        from engage.server.app import create_app
    except ImportError as error:
        raise ConfigurationError(f"serving needs {error.name}", hint="pip install 'engage[server]'") from error
    uvicorn.run(create_app(opened(context)), host=host, port=port, access_log=False, server_header=False)
