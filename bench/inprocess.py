"""Requests without a network: the ASGI application is called as a server would call it."""

import gc
import time
from collections.abc import Sequence
from typing import Any

from bench import apps
from bench.scenarios import Headers, Scenario

Times = dict[str, list[float]]  # for each scenario, seconds per request in each round


def connection(headers: Headers) -> dict[str, Any]:
    """One HTTP connection scope, as uvicorn makes it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": apps.PATH,
        "raw_path": apps.PATH.encode(),
        "query_string": b"",
        "headers": headers,
        "state": {},
    }


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


class Client:
    """Calls one application, and insists on the status of every answer."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.app: Any = getattr(apps, scenario.app)()
        self.sent = 0
        self.statuses: list[int] = []

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.statuses.append(message["status"])

    async def batch(self, size: int) -> float:
        """Send `size` requests one after the other; seconds of this thread per request: what else the machine does is not counted."""
        headers = self.scenario.headers
        connections = [connection(headers(self.sent + n)) for n in range(size)]
        self.sent += size
        self.statuses.clear()
        app, send = self.app, self.send
        begun = time.thread_time()
        for conn in connections:
            await app(conn, receive, send)
        took = time.thread_time() - begun
        if self.statuses != [self.scenario.status] * size:
            raise SystemExit(f"{self.scenario.key} answered {set(self.statuses)}, not {self.scenario.status}.")
        return took / size


async def measure(scenarios: Sequence[Scenario], rounds: int, size: int) -> Times:
    """Interleaved: a batch of each scenario, and again, so that what disturbs the machine disturbs all alike."""
    clients = [Client(scenario) for scenario in scenarios]
    for client in clients:
        await client.batch(200)
    times: Times = {client.scenario.key: [] for client in clients}
    gc.collect()
    gc.freeze()
    for turn in range(rounds):
        # Each round begins elsewhere, so that nobody always follows the same neighbour.
        first = turn % len(clients)
        for client in clients[first:] + clients[:first]:
            times[client.scenario.key].append(await client.batch(size))
    gc.unfreeze()
    return times
