"""Asking Meta's Graph API until it says yes or no, at the pace that its answers allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx

from engage.channels.facebook.graph import Answer, Graph
from engage.errors import ChannelError
from engage.vocabulary import OutcomeStatus

__all__ = ["GraphClient", "Progress"]

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, rows done and rows in all."""

_ATTEMPTS = 6
_LONGEST = 3600.0  # seconds waited in one go
_AGAIN = {OutcomeStatus.RATE_LIMITED, OutcomeStatus.TEMPORARY, OutcomeStatus.UNKNOWN}


class GraphClient:
    """Sends one request after another, each until it is answered.

    Args:
        graph: Understands the answers.
        client: The network.
        sleep: Waits, or returns early where it is told to stop.
        stopped: Whether it is told to stop; asked between two requests.
        report: Told of long pauses.
    """

    def __init__(
        self,
        graph: Graph,
        client: httpx.Client,
        *,
        sleep: Callable[[float], object],
        stopped: Callable[[], bool],
        report: Progress,
    ) -> None:
        self._graph, self._client = graph, client
        self._sleep, self._stopped, self._report = sleep, stopped, report
        self._owed = 0.0  # seconds to wait before the next request, by Meta's last answer

    def ask(self, request: Callable[[], httpx.Request], *, blindly: bool = True) -> Mapping[str, Any]:
        """Ask until Meta says yes or no.

        Args:
            request: Builds the request, anew for each attempt.
            blindly: Repeat one that may have arrived, too, since that is harmless.

        Returns:
            The answer's body.

        Raises:
            ChannelError: Meta said no, gave no answer, or it was told to stop.
            ConfigurationError: The token or account is wrong.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            self._wait(self._owed)
            self._owed = 0.0
            try:
                answer = self._graph.answer(self._client.send(request(), follow_redirects=False))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                answer = Answer(OutcomeStatus.TEMPORARY, type(error).__name__, {})
            except httpx.HTTPError as error:
                answer = Answer(OutcomeStatus.UNKNOWN, type(error).__name__, {})
            if answer.status is OutcomeStatus.SENT:
                self._owed = answer.wait or 0.0
                return answer.body
            doubtful = answer.status is OutcomeStatus.UNKNOWN and not blindly
            if answer.status not in _AGAIN or attempt == _ATTEMPTS or doubtful:
                break
            self._wait(answer.wait or 2.0**attempt)
        self._graph.check(answer)
        raise ChannelError(f"Meta answered {answer.detail}", where="facebook")

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            if seconds >= 10:
                self._report(f"Meta wants a pause of {min(seconds, _LONGEST):,.0f} s", 0, None)
            self._sleep(min(seconds, _LONGEST))
        if self._stopped():
            raise ChannelError("it was told to stop", where="facebook", hint="the next sync goes on where it was")
