"""Malformed requests by the API's own document, at a real server: ``python bench/fuzz.py [--examples 200] [--seed 1]``.

schemathesis makes requests that the document allows and many that it does not. Whatever comes, no answer may be a 5xx.
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

import engage
from engage.content.links import Links, Who
from engage.signing import UserTokens
from tests.ports import free_port

_DOCUMENT = Path(engage.__file__).parent / "server" / "pages" / "openapi.json"
_ROUNDS = {  # who asks, and what
    "with a write key or passcode": ["--include-path-regex", "^/(v1/(?!messages|devices|visitors/known)|1/)"],
    "as a user": ["--include-path-regex", "^/v1/(messages|devices|visitors/known)"],
    "from a mail": ["--include-path-regex", "^/([ocup]/|health|ready|metrics|docs|openapi|sdk)"],
    "as nobody": [],
}


def main() -> None:
    """Print how many requests were made in each round; end with 1 where an answer was a 5xx."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=200, help="a route and round")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--phases", default="coverage,fuzzing")
    given = parser.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        workspace = engage.Workspace.create(Path(folder) / "workspace")
        passcode = secrets.token_hex(16)
        os.environ |= {
            "ENGAGE_WRITE_KEYS": "fuzz",
            "ENGAGE_SECRET_KEY": secrets.token_hex(32),
            "ENGAGE_CLEVERTAP_PASSCODES": f"fuzz:{passcode}",
        }
        log = Path(folder) / "log"
        command = [sys.executable, "-m", "engage", "-w", str(workspace.root), "serve", "--port", str(port)]
        with log.open("w") as file:
            server = subprocess.Popen(command, stderr=file, stdout=file)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(url, server)
            user = UserTokens().give("ada", now=datetime.now(UTC), lasts=timedelta(hours=1))
            token = Links("").subscriptions(Who("gone", "m1", "ada"))[0].rpartition("/")[2]
            # A token that is good, so that what lies behind it is tried, and no waiting for messages that never come.
            config = Path(folder) / "schemathesis.toml"
            config.write_text(f'[parameters]\n"path.token" = "{token}"\n"query.wait" = 0\n')
            headers = {
                "with a write key or passcode": [
                    *("-a", "fuzz:", "-H", "X-CleverTap-Account-Id: fuzz", "-H", f"X-CleverTap-Passcode: {passcode}")
                ],
                "as a user": ["-H", f"Authorization: Bearer {user}"],
            }
            failed, total = False, 0
            for who, paths in _ROUNDS.items():
                run = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", str(_DOCUMENT)]
                run += ["--url", url, "-c", "not_a_server_error", "--phases", given.phases, "--mode", "all"]
                run += ["--continue-on-failure", "--no-color", "--generation-database", "none"]
                run += ["-n", str(given.examples), "--seed", str(given.seed), *headers.get(who, []), *paths]
                done = subprocess.run(run, capture_output=True, text=True, cwd=folder)
                found = re.search(r"(\d+) generated", done.stdout)
                count = int(found[1]) if found else 0
                total += count
                print(f"{who}: {count:,} requests{'' if done.returncode == 0 else ', FAILED'}", flush=True)
                if done.returncode or not count:
                    failed = True
                    print(done.stdout[-6000:], done.stderr[-2000:])
            traces = "Traceback" in log.read_text()
            print(f"{total:,} requests, {'a stack trace in the log' if traces else 'no stack trace in the log'}")
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
    sys.exit(failed or traces)


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        try:
            httpx.get(url + "/health").raise_for_status()
            return
        except httpx.HTTPError:
            if server.poll() is not None:
                raise SystemExit("the server ended by itself") from None
            time.sleep(0.1)
    raise SystemExit("the server does not answer")


if __name__ == "__main__":
    main()
