"""Libraries that look over FastAPI's shoulder are shown what the author of a route wrote, and not how the guard lets it run."""

from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, Security, routing
from fastapi.testclient import TestClient

from bailiwick import Principal
from bailiwick.fastapi import Guard


def arguments_seen(catalog, issuer, monkeypatch, name, *, protected):
    seen = []
    with monkeypatch.context() as patch:
        original = getattr(routing, name)

        async def solver(**kwargs):
            seen.append("begun")
            solved = await original(**kwargs)
            seen.append(sorted(solved.values))
            return solved

        async def runner(**kwargs):
            seen.append(sorted(kwargs["values"]))
            return await original(**kwargs)

        patch.setattr(routing, name, solver if name == "solve_dependencies" else runner)
        guard = Guard(catalog, issuer)
        app = FastAPI()
        if protected:
            guard.protect(app)

        async def who(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
            seen.append("dependency")
            return caller.subject

        @app.get("/direct")
        async def direct(caller: Annotated[Principal, guard.requires("items")], q: int = 1):
            return caller.subject

        @app.get("/chain")
        async def chain(who: Annotated[str, Depends(who)]):
            return who

        client = TestClient(app)
        for path in ("/direct", "/chain") * 2:
            assert client.get(path, headers=issuer.bearer("items")).json() == "alice"
    return seen


@pytest.mark.parametrize("name", ["solve_dependencies", "run_endpoint_function"])
def test_who_observes_fastapis_solver_sees_the_arguments_as_they_were_written(catalog, issuer, monkeypatch, name):
    plain = arguments_seen(catalog, issuer, monkeypatch, name, protected=False)

    assert arguments_seen(catalog, issuer, monkeypatch, name, protected=True) == plain
    assert ["caller", "q"] in plain
