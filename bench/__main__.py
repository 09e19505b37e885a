"""`make bench`: measure everything in one run, and write results.json, docs/benchmarks.md and the plots."""

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from bench import breakdown, facts, held, inprocess, over_http, report, start
from bench.inprocess import Times
from bench.scenarios import SCENARIOS, Scenario

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
DOCS = HERE.parent / "docs"
PARTS = ("process", "http", "held", "start", "breakdown")


def summary(scenario: Scenario, times: Times) -> dict[str, Any]:
    """What one scenario came to. Ratios are taken within each round: both sides had the same disturbance."""
    mine, base = times[scenario.key], times[scenario.baseline]
    ratios = [other / own for own, other in zip(mine, base, strict=True)]
    low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
    return {
        "label": scenario.label,
        "kind": scenario.kind,
        "baseline": scenario.baseline,
        "target": scenario.target,
        "rounds": len(mine),
        "seconds_median": median(mine),
        "seconds_min": min(mine),
        "requests_per_second": 1 / median(mine),
        "ratio": median(ratios),
        "ratio_of_best": min(base) / min(mine),
        "ratio_quartiles": [low, high],
    }


def row_of(key: str) -> Scenario:
    return next(one for one in SCENARIOS if one.key == key)


def summaries(times: Times) -> dict[str, Any]:
    return {one.key: summary(one, times) for one in SCENARIOS if one.key in times}


def main() -> int:
    reader = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    reader.add_argument(
        "--only", choices=PARTS, action="append", help="measure this part only, and write nothing; may be repeated"
    )
    reader.add_argument("--rounds", type=int, default=400, help="rounds in process (%(default)s)")
    reader.add_argument("--batch", type=int, default=25, help="requests of each scenario in a round (%(default)s)")
    reader.add_argument("--http-rounds", type=int, default=27, help="rounds over HTTP (%(default)s)")
    reader.add_argument("--http-seconds", type=int, default=1, help="seconds of wrk on each in a round (%(default)s)")
    reader.add_argument("--quick", action="store_true", help="a minute instead of ten: to try it out, not to publish")
    reader.add_argument(
        "--report", action="store_true", help="write the documents from results.json, and measure nothing"
    )
    reader.add_argument("--scenario", action="append", help="measure only these, and write nothing; may be repeated")
    asked = reader.parse_args()
    known = {one.key for one in SCENARIOS}
    unknown = sorted(set(asked.scenario or ()) - known)
    if unknown:
        reader.error(f"no such scenario: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    chosen = [one for one in SCENARIOS if not asked.scenario or one.key in asked.scenario]
    if asked.quick:
        asked.rounds, asked.http_rounds, asked.http_seconds = 40, 3, 1
    logging.disable(logging.INFO)

    results: dict[str, Any] = json.loads(RESULTS.read_text("utf-8")) if asked.report else {}
    if not asked.report:
        measure(results, asked, chosen)
        if asked.scenario or asked.only:  # what is published comes from one run
            print(report.terminal(results))
            return 0
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    report.write(results, DOCS)
    print(report.terminal(results))
    return 0


def measure(results: dict[str, Any], asked: argparse.Namespace, chosen: Sequence[Scenario]) -> None:
    """Replace in `results` what is asked for."""
    parts = asked.only or PARTS
    results["machine"] = facts.collect()
    if "process" in parts:
        say(f"In process: {asked.rounds} rounds of {asked.batch} requests for each of {len(chosen)} scenarios ...")
        results["process"] = summaries(asyncio.run(inprocess.measure(chosen, asked.rounds, asked.batch)))
    if "held" in parts:
        say("Scopes held ...")
        results["held"] = held.measure(asked.rounds, asked.batch)
    if "breakdown" in parts:
        results["breakdown"] = breakdown.measure(5 if asked.quick else 40)
    if "start" in parts:
        say(f"Start with {start.ROUTES} routes ...")
        results["start"] = start.measure(3 if asked.quick else 9)
    if "http" in parts and (reason := over_http.why_not()):
        say(f"Over HTTP: left out, because {reason}")
        results.pop("http", None)
        results["http_left_out"] = reason
    elif "http" in parts:
        say(f"Over HTTP: {asked.http_rounds} rounds of {asked.http_seconds} s of wrk for each scenario ...")
        times, worked, executed = over_http.measure(chosen, asked.http_rounds, asked.http_seconds)
        results["http"] = summaries(times)
        for key, row in results["http"].items():
            row["processor_seconds"] = median(worked[key])
            row["processor_ratio"] = summary(row_of(key), worked)["ratio"] if worked[key][0] else None
            row["instructions"], base = executed[key], executed[row["baseline"]]
            row["instructions_ratio"] = base / executed[key] if base and executed[key] else None
        results.pop("http_left_out", None)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
