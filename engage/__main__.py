"""``engage``, and ``python -m engage``: what is imported is not looked through for garbage meanwhile."""

from __future__ import annotations

import gc

__all__ = ["main"]


def main() -> None:
    """Import the command line and run it.

    The collector of garbage would go through a thousand modules several times while they are imported, a fifth of the
    time to start. (To freeze them as well keeps libraries from freeing their own when the process ends.)
    """
    gc.disable()
    from engage.cli import main as run

    gc.enable()
    run()


if __name__ == "__main__":
    main()
