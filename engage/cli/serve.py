"""``engage serve``: the server. ``engage up``: the server with the notebooks, and a worker."""

from __future__ import annotations

import click

from engage.cli.options import opened
from engage.cli.output import say
from engage.errors import ConfigurationError
from engage.logs import print_logs
from engage.workspace import Workspace

__all__ = ["serve", "up"]


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="The port.")
@click.option("--notebooks", is_flag=True, help="Serve the notebooks at / too, to people who sign in.")
@click.pass_context
def serve(context: click.Context, host: str, port: int, notebooks: bool) -> None:
    """Collect events over HTTP, in Segment's way and CleverTap's; hand out messages, follow links.

    Keys are in ENGAGE_WRITE_KEYS and ENGAGE_SECRET_KEY.
    """
    try:
        import uvicorn

        from engage.server.app import create_app
        from engage.server.http import LISTENING
        from engage.server.notebooks import open_to_people
    except ImportError as error:
        raise ConfigurationError(f"serving needs {error.name}", hint="pip install 'engage[server]'") from error
    workspace = opened(context)
    app = create_app(workspace, notebooks=notebooks)
    if notebooks:
        open_to_people(workspace)
        _say_first_link(workspace, host, port)
    uvicorn.run(app, host=host, port=port, **LISTENING)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="The port; 0 for any.")
@click.pass_context
def up(context: click.Context, host: str, port: int) -> None:
    """Run everything until stopped: server, worker, and the notebooks at ``/`` for people who sign in.

    The first start prints the link by which the first person becomes an admin. A worker that dies is started again.
    SIGTERM or Ctrl-C stops all of it cleanly.
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

        def ready(worker: int) -> None:
            say(f"engage is at {address} (its worker is process {worker}); Ctrl-C stops both")
            _say_first_link(workspace, host, taken.getsockname()[1])

        run(workspace, lambda: create_app(workspace, notebooks=True), taken, ready=ready)
    say("stopped")


def _say_first_link(workspace: Workspace, host: str, port: int) -> None:
    link = workspace.first_admin_link()
    if link is not None:
        here = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
        address = workspace.settings.public_url or f"http://{here}:{port}"
        say(f"Nobody administers it yet. Become its admin, once, within a day: {address}{link}")
