"""Compiled dependencies do what FastAPI's solver does with them, in the same order."""

import contextvars
import threading
from typing import Annotated

import pytest
from fastapi import Body, Depends, FastAPI, HTTPException, Request, Security
from fastapi.security import SecurityScopes
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection

from bailiwick import Principal
from bailiwick.fastapi import Guard

ran: list[str] = []
marker: contextvars.ContextVar[str] = contextvars.ContextVar("marker", default="")


@pytest.fixture(autouse=True)
def fresh():
    ran.clear()


def serve(catalog, issuer, add):
    """The application, and for comparison the same one with an override that matches nothing: then the solver runs all."""
    clients = []
    for overrides in ({}, {object(): None}):
        guard = Guard(catalog, issuer.cached())
        app = FastAPI()
        guard.protect(app)
        add(app, guard)
        app.dependency_overrides.update(overrides)
        clients.append(TestClient(app, raise_server_exceptions=False))
    return clients


def alike(clients, issuer, method="GET", path="/", *, scope="users:read posts:read items me", **more):
    """Send the same to both, and insist on the same answer and the same calls in the same order."""
    seen = []
    for client in clients:
        for _ in range(2):  # the second time the verifier remembers the token
            ran.clear()
            answer = client.request(method, path, headers=issuer.bearer(scope), **more)
            seen.append((answer.status_code, answer.json(), list(ran)))
    assert seen.count(seen[0]) == len(seen), seen
    return seen[0]


@pytest.fixture
def compiled(monkeypatch):
    """The paths of the requests whose dependencies ran compiled."""
    from bailiwick.frameworks.fastapi.compiled_dependencies import CompiledDependencies

    paths = []
    original = CompiledDependencies.before

    def before(self, handler):
        inner = original(self, handler)

        async def handled(request):
            paths.append(request.url.path)
            return await inner(request)

        return handled

    monkeypatch.setattr(CompiledDependencies, "before", before)
    return paths


def test_three_deep_with_three_scope_sets_each_function_sees_its_own(catalog, issuer, compiled):
    def add(app, guard):
        async def user(scopes: SecurityScopes, caller: Annotated[Principal, Security(guard)]):
            ran.append(f"user {scopes.scope_str}")
            return {"sub": caller.subject, "scopes": scopes.scopes}

        async def me(user: Annotated[dict, Security(user, scopes=["me"])]):
            ran.append("me")
            return user

        @app.get("/")
        async def route(
            reader: Annotated[dict, Security(user, scopes=["users:read"])],
            mine: Annotated[dict, Security(me, scopes=["items"])],
            again: Annotated[dict, Security(user, scopes=["users:read"])],
        ):
            return [reader, mine, again]

    status, body, calls = alike(serve(catalog, issuer, add), issuer)
    assert status == 200
    assert calls == ["user users:read", "user items me", "me"]
    assert body[1] == {"sub": "alice", "scopes": ["items", "me"]}
    assert body[2] == body[0]
    assert compiled == ["/", "/"]


def test_the_scopes_that_a_function_is_given_are_its_own_to_change(catalog, issuer, compiled):
    def add(app, guard):
        async def leaf(scopes: SecurityScopes, _caller: Annotated[Principal, Security(guard)]):
            scopes.scopes.append("spoiled")
            return len(scopes.scopes)

        @app.get("/")
        async def route(n: Annotated[int, Security(leaf, scopes=["me"])]):
            return n

    assert alike(serve(catalog, issuer, add), issuer)[1] == 2
    assert compiled


def test_a_function_that_must_not_be_cached_runs_each_time_and_its_children_with_it(catalog, issuer, compiled):
    def add(app, guard):
        async def child(caller: Annotated[Principal, Security(guard)]):
            ran.append("child")
            return len(ran)

        async def fresh(child: Annotated[int, Depends(child, use_cache=False)]):
            ran.append("fresh")
            return child

        @app.get("/", dependencies=[Depends(child)])
        async def route(
            a: Annotated[int, Depends(fresh)],
            b: Annotated[int, Depends(fresh)],
            c: Annotated[int, Depends(fresh, use_cache=False)],
            d: Annotated[int, Depends(child)],
        ):
            return [a, b, c, d]

    assert alike(serve(catalog, issuer, add), issuer)[0] == 200
    assert compiled


def test_a_function_without_async_runs_in_a_thread(catalog, issuer, compiled):
    def add(app, guard):
        def where(caller: Annotated[Principal, Security(guard, scopes=["me"])]):
            return threading.current_thread().name

        @app.get("/")
        async def route(name: Annotated[str, Depends(where)]):
            return name != threading.current_thread().name

    assert alike(serve(catalog, issuer, add), issuer)[:2] == (200, True)
    assert compiled


def test_a_dependency_that_refuses_comes_before_the_route_s_own_parameters(catalog, issuer, compiled):
    def add(app, guard):
        async def gone(caller: Annotated[Principal, Security(guard, scopes=["me"])]):
            raise HTTPException(404, "gone")

        @app.get("/{n}")
        async def route(n: int, _: Annotated[None, Depends(gone)]):
            return n

    assert alike(serve(catalog, issuer, add), issuer, path="/x")[:2] == (404, {"detail": "gone"})
    assert compiled


def test_path_and_query_parameters_are_still_checked(catalog, issuer, compiled):
    def add(app, guard):
        async def caller(caller: Annotated[Principal, Security(guard, scopes=["me"])]):
            ran.append("caller")
            return caller.subject

        @app.get("/{n}")
        async def route(n: int, who: Annotated[str, Depends(caller)], q: int = 0):
            return [n, who, q]

    clients = serve(catalog, issuer, add)
    assert alike(clients, issuer, path="/3?q=4")[:2] == (200, [3, "alice", 4])
    assert alike(clients, issuer, path="/3?q=x")[0] == 422
    assert compiled


def test_a_route_with_a_body_is_left_to_the_solver_because_it_parses_the_body_first(catalog, issuer, compiled):
    def add(app, guard):
        async def gone(caller: Annotated[Principal, Security(guard, scopes=["me"])]):
            ran.append("gone")
            raise HTTPException(404, "gone")

        @app.post("/")
        async def route(_: Annotated[None, Depends(gone)], body: Annotated[dict, Body()]):
            return body

    clients = serve(catalog, issuer, add)
    for client in clients:
        ran.clear()
        headers = {**issuer.bearer("me"), "content-type": "application/json"}
        assert client.post("/", content="{", headers=headers).status_code == 422
        assert ran == []
    assert alike(clients, issuer, "POST", json={})[0] == 404
    assert compiled == []


def test_a_dependency_that_leaves_something_to_close_keeps_the_whole_tree_with_the_solver(catalog, issuer, compiled):
    def add(app, guard):
        async def session():
            ran.append("opened")
            yield "session"
            ran.append("closed")

        async def user(caller: Annotated[Principal, Security(guard, scopes=["me"])]):
            ran.append("user")
            return caller.subject

        @app.get("/")
        async def route(db: Annotated[str, Depends(session)], user: Annotated[str, Depends(user)]):
            ran.append("route")
            return [db, user]

    assert alike(serve(catalog, issuer, add), issuer) == (
        200,
        ["session", "alice"],
        ["opened", "user", "route", "closed"],
    )
    assert compiled == []


def test_a_dependency_with_a_parameter_of_its_own_keeps_the_whole_tree_with_the_solver(catalog, issuer, compiled):
    def add(app, guard):
        async def page(caller: Annotated[Principal, Security(guard, scopes=["me"])], page: int = 1):
            return page

        async def plain(caller: Annotated[Principal, Security(guard, scopes=["me"])]):
            ran.append("plain")

        @app.get("/")
        async def route(page: Annotated[int, Depends(page)], _: Annotated[None, Depends(plain)]):
            return page

    clients = serve(catalog, issuer, add)
    assert alike(clients, issuer, path="/?page=7")[1] == 7
    assert alike(clients, issuer, path="/?page=x")[0] == 422
    assert compiled == []


def test_a_dependency_may_ask_for_the_request_and_the_connection(catalog, issuer, compiled):
    def add(app, guard):
        async def look(request: Request, _: Annotated[Principal, Security(guard, scopes=["me"])]):
            return request.headers["x-what"]

        async def look_too(conn: HTTPConnection, _: Annotated[Principal, Security(guard, scopes=["me"])]):
            return conn.url.path

        @app.get("/")
        async def route(
            request: Request,
            conn: HTTPConnection,
            what: Annotated[str, Depends(look)],
            path: Annotated[str, Depends(look_too)],
        ):
            return [what, path, request.url.path, conn.url.path]

    for client in serve(catalog, issuer, add):
        answer = client.get("/", headers={**issuer.bearer("me"), "x-what": "this"})
        assert answer.json() == ["this", "/", "/", "/"]
    assert compiled


def test_a_context_variable_that_a_dependency_sets_is_seen_by_the_handler(catalog, issuer, compiled):
    def add(app, guard):
        async def sets(caller: Annotated[Principal, Security(guard, scopes=["me"])]):
            marker.set(caller.subject)

        @app.get("/", dependencies=[Depends(sets)])
        async def route():
            return marker.get()

    assert alike(serve(catalog, issuer, add), issuer)[:2] == (200, "alice")
    assert compiled


def test_too_few_scopes_run_no_compiled_dependency(catalog, issuer, compiled):
    def add(app, guard):
        async def user(caller: Annotated[Principal, Security(guard, scopes=["me"])]):
            ran.append("user")

        @app.get("/")
        async def route(_: Annotated[None, Security(user, scopes=["items"])]):
            return None

    status, body, calls = alike([serve(catalog, issuer, add)[0]], issuer, scope="me")
    assert (status, body["scope"], calls) == (403, "items me", [])
    assert compiled == []


def test_two_callers_at_once_never_see_each_other(catalog, issuer, compiled):
    def add(app, guard):
        def name(caller: Annotated[Principal, Security(guard, scopes=["me"])]):
            return caller.subject

        @app.get("/")
        async def route(name: Annotated[str, Depends(name)], caller: Annotated[Principal, Security(guard)]):
            return [name, caller.subject]

    client = serve(catalog, issuer, add)[0]
    wrong = []

    def ask(who):
        headers = issuer.bearer("me", sub=who)
        wrong.extend(who for _ in range(20) if client.get("/", headers=headers).json() != [who, who])

    with client:
        threads = [threading.Thread(target=ask, args=(f"person-{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert len(compiled) == 160
