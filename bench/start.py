"""How long an application with a thousand routes takes to start, and how much memory it holds, open and guarded.

Guarded twice: with a scope for each route, which is the most that a guard can have to do, and with the scopes of an ordinary
application, where one stands in front of many routes.
"""

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from fastapi import FastAPI

from bailiwick import Catalog
from bailiwick.fastapi import Guard
from bench import tokens

ROUTES = 1_000
# How many scopes stand in front of the routes.
SCOPES = {"open": 0, "guarded": ROUTES, "shared": 20}
MEGABYTE = 1 << 20


def build(scopes: int) -> FastAPI:
    """A thousand routes, each with a path parameter, guarded with so many different scopes; none leaves them open."""
    app = FastAPI()
    guard = None
    if scopes:
        guard = Guard(Catalog([f"resource{n}:read" for n in range(scopes)]), tokens.verifier())
        guard.protect(app)
    for n in range(ROUTES):

        async def handler(item: int):
            return {"item": item}

        needs = [guard.requires(f"resource{n % scopes}:read")] if guard is not None else []
        app.get(f"/resource{n}/{{item}}", dependencies=needs)(handler)
    return app


async def _start(app: FastAPI) -> None:
    async with app.router.lifespan_context(app):
        pass


def _resident() -> int:
    """Bytes in memory now; the highest so far where /proc does not say."""
    gc.collect()
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _one(kind: str) -> dict[str, float]:
    before = _resident()
    # The time of this process alone: what else runs on the machine is not counted.
    begun = time.process_time()
    app = build(SCOPES[kind])
    asyncio.run(_start(app))
    took = time.process_time() - begun
    return {"seconds": took, "megabytes": (_resident() - before) / MEGABYTE}


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Open and guarded in turn, each in a process of its own: medians, and by how much the least of one exceeds that of open."""
    runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in SCOPES}
    for _ in range(rounds):
        for kind, found in runs.items():
            said = subprocess.run(
                [sys.executable, "-m", "bench.start", kind], capture_output=True, text=True, check=True
            )
            found.append(json.loads(said.stdout))
    result = {
        kind: {what: median(one[what] for one in found) for what in ("seconds", "megabytes")}
        for kind, found in runs.items()
    }
    # The least of several is the nearest to what the work itself takes; others only add to it.
    least = {kind: min(one["seconds"] for one in found) for kind, found in runs.items()}
    for kind in ("guarded", "shared"):
        result[kind]["more_seconds"] = least[kind] - least["open"]
        result[kind]["more_megabytes"] = result[kind]["megabytes"] - result["open"]["megabytes"]
    return result


if __name__ == "__main__":
    json.dump(_one(sys.argv[1]), sys.stdout)
