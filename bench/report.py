"""From results.json to docs/benchmarks.md and its plots."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench import plot

BEGIN = "<!-- measured: begin (written by `make bench`; what stands outside these two lines is written by hand) -->"
END = "<!-- measured: end -->"
IMAGES = {"process": "benchmarks-process.svg", "http": "benchmarks-http.svg"}
TITLES = {"process": "In process", "http": "Over HTTP (wrk, one uvicorn worker)"}
HELD_FLAT, DECISION = 1.20, 1e-6
START_SECONDS, START_MEGABYTES = 0.3, 20.0


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} µs"


def _met(*, met: bool) -> str:
    return "reached" if met else "**not reached**"


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    return "\n".join(
        [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(row)} |" for row in rows), ""]
    )


def _ratios(rows: dict[str, dict[str, Any]]) -> str:
    def line(row: dict[str, Any]) -> list[str]:
        target = row["target"]
        low, high = row["ratio_quartiles"]
        return [
            row["label"],
            f"{row['requests_per_second']:,.0f}",
            _us(row["seconds_median"]),
            _us(row["seconds_min"]),
            f"**{row['ratio']:.2f}**",
            f"{low:.2f} to {high:.2f}",
            f"≥ {target:.2f}" if target else "",
            _met(met=row["ratio"] >= target) if target else "",
        ]

    head = ["scenario", "requests/s", "median", "least", "ratio", "middle half", "to reach", ""]
    lines = [line(row) for row in rows.values()]
    if any(row.get("processor_ratio") for row in rows.values()):
        head.append("server's processor time, ratio")
        for made, row in zip(lines, rows.values(), strict=True):
            made.append(f"{_us(row['processor_seconds'])}, {row['processor_ratio']:.2f}")
    if any(row.get("instructions_ratio") for row in rows.values()):
        head.append("server's instructions, ratio")
        for made, row in zip(lines, rows.values(), strict=True):
            made.append(f"{row['instructions'] / 1000:,.0f} thousand, {row['instructions_ratio']:.2f}")
    return _table(head, lines)


def _held(rows: dict[str, dict[str, Any]]) -> str:
    first = next(iter(rows.values()))

    def line(item: tuple[str, dict[str, Any]]) -> list[str]:
        count, row = item
        decision = row["decision_seconds"] / first["decision_seconds"]
        request = row["request_seconds"] / first["request_seconds"]
        met = decision <= HELD_FLAT and request <= HELD_FLAT and row["decision_seconds"] < DECISION
        return [
            count,
            f"{row['token_bytes']:,}",
            f"{row['decision_seconds'] * 1e9:.0f} ns",
            f"{decision:.2f}",
            _us(row["request_seconds"]),
            f"{request:.2f}",
            _met(met=met),
        ]

    head = ["scopes held", "octets of the token", "decision", "of the first", "whole request", "of the first", ""]
    return _table(head, map(line, rows.items()))


def _start(rows: dict[str, dict[str, float]]) -> str:
    def line(key: str, name: str) -> list[str]:
        row = rows[key]
        seconds, megabytes = row.get("more_seconds"), row.get("more_megabytes")
        seen = [name, f"{row['seconds']:.2f} s", f"{row['megabytes']:.1f} MB"]
        if seconds is None or megabytes is None:
            return [*seen, "", "", ""]
        met = seconds <= START_SECONDS and megabytes <= START_MEGABYTES
        return [*seen, f"{seconds:+.2f} s", f"{megabytes:+.1f} MB", _met(met=met)]

    head = ["1,000 routes", "time to build and start", "memory"]
    more = [f"more time (at most {START_SECONDS} s)", f"more memory (at most {START_MEGABYTES:.0f} MB)", ""]
    names = {"open": "open", "guarded": "guarded, a scope for each route", "shared": "guarded, 20 scopes for all"}
    return _table([*head, *more], [line(key, name) for key, name in names.items()])


def _machine(machine: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    return (
        f"Measured on {machine['date']}: {machine['cores']} cores ({machine['processor']}), {machine['system']}, "
        f"{machine['python']}; load average at the beginning {machine['load']}.\n{packages}.\n"
    )


def _measured(results: dict[str, Any]) -> str:
    parts = [BEGIN, "", _machine(results["machine"])]
    for key, image in IMAGES.items():
        parts.append(f"## {TITLES[key]}\n")
        if key not in results:
            parts.append(f"Left out of this run. {results.get('http_left_out', '')}\n")
            continue
        parts.append(f"![{TITLES[key]}: requests per second as a share of the open route's](images/{image})\n")
        parts.append(_ratios(_ordered(results[key])))
    if "held" in results:
        parts += ["## Scopes held, with 10,000 catalogued\n", _held(_by_number(results["held"]))]
    if "start" in results:
        parts += ["## Start with 1,000 routes\n", _start(results["start"])]
    if "breakdown" in results:
        parts += ["## Where the time goes\n", _breakdown(results["breakdown"])]
    return "\n".join([*parts, END])


def _breakdown(found: dict[str, float]) -> str:
    rest = found["gate"] - found["header"] - found["memory"] - found["scopes"]
    rows = [
        ["the gate as a whole, on an admitted request", "gate"],
        ["- finding the `Authorization` header among four", "header"],
        ["- the verifier's memory: clock, expiry, look-up", "memory"],
        ["  - of which SHA-256 of the token", "digest"],
        ["- the scopes: mask of the caller against the route's", "scopes"],
    ]
    admitted = _table(
        ["part", "time"],
        [
            *([label, _us(found[key])] for label, key in rows),
            ["- calls between them, the connection's dictionary", _us(rest)],
        ],
    )
    refused = _table(
        ["a forged token that was not seen before", "time"],
        [[f"refused by the verifier, {alg}", _us(found[f"forged_{alg.lower()}"])] for alg in ("HS256", "ES256")],
    )
    return admitted + "\n" + refused


def _by_number(rows: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(rows.items(), key=lambda item: int(item[0])))


def _ordered(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """In the order of the scenarios, which JSON with sorted keys does not keep."""
    from bench.scenarios import SCENARIOS

    return {one.key: rows[one.key] for one in SCENARIOS if one.key in rows}


def write(results: dict[str, Any], docs: Path) -> None:
    """Put the tables between their marks, and the plots beside them."""
    images = docs / "images"
    images.mkdir(parents=True, exist_ok=True)
    for key, image in IMAGES.items():
        if key in results:
            picture = plot.bars(TITLES[key], _ordered(results[key]))
            (images / image).write_text(picture, encoding="utf-8")
    page = docs / "benchmarks.md"
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit("docs/benchmarks.md has lost the two lines between which the tables stand.")
    page.write_text(before + _measured(results) + after, encoding="utf-8")


def terminal(results: dict[str, Any]) -> str:
    """The same for the one who ran it."""
    lines = []
    for key in IMAGES:
        for row in _ordered(results.get(key, {})).values():
            target = row["target"]
            verdict = "" if not target else "reached" if row["ratio"] >= target else f"NOT REACHED (>= {target:.2f})"
            lines.append(
                f"{TITLES[key][:10]:10}  {row['label'].replace('`', ''):45} {row['seconds_median'] * 1e6:9.1f} us "
                f"{row['ratio']:6.2f} {row['ratio_of_best']:6.2f} {row.get('processor_ratio') or 0:6.2f} "
                f"{row.get('instructions_ratio') or 0:6.2f}  {verdict}"
            )
    for count, row in _by_number(results.get("held", {})).items():
        lines.append(
            f"{count:>5} held: decision {row['decision_seconds'] * 1e9:.0f} ns, request {row['request_seconds'] * 1e6:.1f} us"
        )
    if "start" in results:
        for kind in ("guarded", "shared"):
            row = results["start"][kind]
            lines.append(f"1,000 routes, {kind}: {row['more_seconds']:+.2f} s, {row['more_megabytes']:+.1f} MB")
    return "\n".join(lines)
