"""FastAPI's own telemetry is shown what the author of a route wrote, and not how the guard lets it run."""

import contextlib
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, Security
from fastapi.testclient import TestClient

from bailiwick import Principal
from bailiwick.fastapi import Guard

telemetry = pytest.importorskip("fastapi.telemetry", reason="FastAPI before 0.165 has no telemetry of its own")
trace = pytest.importorskip("opentelemetry.trace")

SPAN = trace.SpanContext(1, 2, is_remote=False, trace_flags=trace.TraceFlags(1))


class Span(trace.NonRecordingSpan):
    def is_recording(self):
        return True


class Tracer(trace.Tracer):
    def __init__(self, seen):
        self.seen = seen

    def start_span(self, name, *args, **kwargs):
        return Span(SPAN)

    @contextlib.contextmanager
    def start_as_current_span(self, name, *args, **kwargs):
        self.seen.append(f"into {name}")
        yield Span(SPAN)
        self.seen.append(f"out of {name}")


class Provider(trace.TracerProvider):
    def __init__(self, seen):
        self.seen = seen

    def get_tracer(self, *args, **kwargs):
        return Tracer(self.seen)


def observed(catalog, issuer, exclude, *, protected, access):
    seen = []
    guard = Guard(catalog, issuer)
    app = FastAPI(telemetry={"tracer_provider": Provider(seen), "exclude": exclude})
    if protected:
        guard.protect(app)
    declared = guard.public("telemetry") if access == "public" else guard.requires("items")

    async def who(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        seen.append("dependency")
        return caller.subject

    async def nobody():
        seen.append("dependency")
        return "nobody"

    @app.get("/x", dependencies=[declared])
    async def x(q: int, who: Annotated[str, Depends(nobody if access == "public" else who)]):
        shown = telemetry.get_telemetry_data()
        return shown and sorted(shown.values)

    @app.get("/direct", dependencies=[declared])
    async def direct(q: int, caller: Annotated[Principal | None, guard.optional()]):
        shown = telemetry.get_telemetry_data()
        return shown and sorted(shown.values)

    client = TestClient(app)
    paths = ["/x"] if access == "public" else ["/x", "/direct"]
    return [
        (client.get(path, params={"q": 1}, headers=issuer.bearer("items")).json(), list(seen)) for path in paths * 3
    ]


@pytest.mark.parametrize("first", ["observed", "excluded"])
@pytest.mark.parametrize("access", ["guarded", "public"])
def test_telemetry_is_shown_the_arguments_and_the_span_of_dependencies_that_fastapi_would_show(
    catalog, issuer, access, first
):
    def excluding():
        asked = []

        def exclude(conn):
            asked.append(conn["path"])
            return first == "excluded" and len(asked) <= 2

        return exclude

    plain = observed(catalog, issuer, excluding(), protected=False, access=access)
    protected = observed(catalog, issuer, excluding(), protected=True, access=access)

    assert protected == plain
    assert ["q", "who"] in [shown for shown, _ in protected]
