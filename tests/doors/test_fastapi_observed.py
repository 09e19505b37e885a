"""Libraries that look over FastAPI's shoulder are shown what the author of a route wrote, and not how the guard lets it run."""

from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, Security, routing
from fastapi.testclient import TestClient

from bailiwick import Principal
from bailiwick.fastapi import Guard


class Proxy:
    """Stands around a function as those of wrapt do, by which New Relic, Datadog and others observe: whatever it is asked,
    its class included, it answers in the name of the function."""

    def __init__(self, wrapped, around):
        self.__dict__.update(__wrapped__=wrapped, _self_around=around)

    __class__ = property(lambda self: type(self.__wrapped__))

    def __getattr__(self, name):
        return getattr(self.__wrapped__, name)

    def __call__(self, *args, **kwargs):
        return self._self_around(*args, **kwargs)


def plainly(_wrapped, around):
    return around


def arguments_seen(catalog, issuer, monkeypatch, name, stand_in, *, protected):
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

        patch.setattr(routing, name, stand_in(original, solver if name == "solve_dependencies" else runner))
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


@pytest.mark.parametrize("stand_in", [plainly, Proxy])
@pytest.mark.parametrize("name", ["solve_dependencies", "run_endpoint_function"])
def test_who_observes_fastapis_solver_sees_the_arguments_as_they_were_written(
    catalog, issuer, monkeypatch, name, stand_in
):
    plain = arguments_seen(catalog, issuer, monkeypatch, name, stand_in, protected=False)

    assert arguments_seen(catalog, issuer, monkeypatch, name, stand_in, protected=True) == plain
    assert ["caller", "q"] in plain


@pytest.mark.parametrize("around", ["the application", "the handler"])
def test_a_proxy_around_a_route_stays_around_its_dependencies_and_sees_the_whole_request(
    catalog, issuer, monkeypatch, around
):
    seen = []
    guard = Guard(catalog, issuer)
    app = FastAPI()
    guard.protect(app)

    async def who(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        seen.append("dependency")
        return caller.subject

    def proxied(original):
        async def observed(*args):
            seen.append(str(args[0].query_params) if around == "the handler" else args[0]["query_string"].decode())
            return await original(*args)

        return Proxy(original, observed)

    if around == "the handler":
        original = routing.get_request_handler
        monkeypatch.setattr(routing, "get_request_handler", lambda **kwargs: proxied(original(**kwargs)))

    @app.get("/")
    async def read(who: Annotated[str, Depends(who)]):
        return who

    if around == "the application":
        route = app.routes[-1]
        route.app = proxied(route.app)

    client = TestClient(app)
    for _ in range(2):
        assert client.get("/?page=2", headers=issuer.bearer("items")).json() == "alice"
    assert seen == ["page=2", "dependency"] * 2
