"""``engage serve``: the server. ``engage up``: the server and a worker."""

from __future__ import annotations

import click

from engage.cli.options import opened
from engage.cli.output import say
from engage.errors import ConfigurationError
from engage.logs import print_logs

__all__ = ["serve", "up"]


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="The port.")
@click.pass_context
def serve(context: click.Context, host: str, port: int) -> None:
    """Collect events over HTTP, in Segment's way and CleverTap's; hand out messages, follow links.

    Keys are in ENGAGE_WRITE_KEYS and ENGAGE_SECRET_KEY.
    """
    try:
        import uvicorn

        from engage.server.app import create_app
    except ImportError as error:
        raise ConfigurationError(f"serving needs {error.name}", hint="pip install 'engage[server]'") from error
    uvicorn.run(create_app(opened(context)), host=host, port=port, access_log=False, server_header=False)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="The port; 0 for any.")
@click.pass_context
def up(context: click.Context, host: str, port: int) -> None:
    """Run everything, server and worker, until stopped.

    A worker that dies is started again. SIGTERM or Ctrl-C stops all of it cleanly.
    """
    try:
        from engage.server.app import create_app
        from engage.server.up import listening
        from engage.server.up import up as run
    except ImportError as error:
        raise ConfigurationError(f"serving needs {error.name}", hint="pip install 'engage[server]'") from error
    workspace = opened(context)
    with listening(host, port) as taken:
        address = f"http://{host}:{taken.getsockname()[1]}"
        print_logs()
        run(
            workspace,
            lambda: create_app(workspace),
            taken,
            ready=lambda worker: say(f"engage is at {address} (its worker is process {worker}); Ctrl-C stops both"),
        )
    say("stopped")
