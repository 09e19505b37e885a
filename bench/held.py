"""Whether a check costs the same for ten scopes held as for a thousand, with ten thousand catalogued."""

import asyncio
import timeit
from statistics import median
from typing import Any

from bailiwick import Catalog, all_of
from bench import apps, inprocess, tokens
from bench.scenarios import Scenario

COUNTS = (10, 100, 1_000)


def _scope(count: int) -> str:
    return " ".join([*tokens.HELD.split()[:5], *apps.NAMES[5_000 : 5_000 + count - 5]])


def decisions(repeats: int) -> dict[int, float]:
    """Seconds for one decision from the compiled plan, for each number of scopes held; the least of several."""
    catalog = Catalog(apps.NAMES)
    allows = catalog.compile(all_of("users:read")).allows
    found: dict[int, list[float]] = {count: [] for count in COUNTS}
    held = {count: catalog.hold(_scope(count).split()) for count in COUNTS}
    for _ in range(repeats):
        for count in COUNTS:
            mine = held[count]
            timer = timeit.Timer("allows(mine)", globals={"allows": allows, "mine": mine})
            found[count].append(timer.timeit(2_000) / 2_000)
    return {count: min(times) for count, times in found.items()}


def _scenario(count: int) -> Scenario:
    headers = tokens.bearer(tokens.token(_scope(count)))
    return Scenario(f"held_{count}", f"{count} scopes held", "ten_thousand", "held_10", lambda _n: headers)


def measure(rounds: int, size: int) -> dict[str, Any]:
    """Decisions alone, and whole requests in process."""
    times = asyncio.run(inprocess.measure([_scenario(count) for count in COUNTS], rounds, size))
    decided = decisions(rounds)
    return {
        str(count): {
            "decision_seconds": decided[count],
            "request_seconds": min(times[f"held_{count}"]),
            "request_seconds_median": median(times[f"held_{count}"]),
            "token_bytes": len(tokens.token(_scope(count))),
        }
        for count in COUNTS
    }
