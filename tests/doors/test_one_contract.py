"""All doors answer the same bad request with the same bytes, whichever way a route was guarded and whatever is remembered."""

import asyncio
import functools
import json
import re
from typing import Annotated

import pytest
from either_side import asgi_said, connection, over_asgi, said
from fastapi import FastAPI
from FasterAPI import Faster
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from bailiwick import Principal, all_of, any_of
from bailiwick.asgi import Guard as PlainGuard
from bailiwick.asgi import Resource
from bailiwick.errors import BailiwickError, ConfigurationError, InsufficientScope, InvalidToken, Unavailable
from bailiwick.fastapi import Guard as FastAPIGuard
from bailiwick.fasterapi import Guard as FasterAPIGuard
from bailiwick.starlette import Guard as StarletteGuard
from bailiwick.tokens import JWTVerifier, Keyring, Signer, SigningKey

NEEDS = any_of("users:delete", all_of("users:read", "posts:read"))


async def handler():
    return "reached"


def fastapi(guard, protected):
    app = FastAPI(openapi_url=None)
    if protected:
        guard.protect(app)
    app.get("/x", dependencies=[guard.requires(NEEDS)])(handler)
    return app


def fasterapi(guard, protected):
    app = Faster(openapi_url=None)
    if protected:
        guard.protect(app)
    app.get("/x", dependencies=[guard.requires(NEEDS)])(handler)
    return app


def starlette(guard, protected):
    app = Starlette(routes=[Route("/x", guard.requires(NEEDS)(said))])
    if protected:
        guard.protect(app)
    return app


def by_default(guard, protected):
    app = Starlette(routes=[Route("/x", said)])
    guard.protect(app, default=guard.requires(NEEDS))
    return app


def wrapped(guard, protected):
    return guard.wrap(Starlette(routes=[Route("/x", said)]), NEEDS)


def mounted(guard, protected):
    app = Starlette(routes=[Mount("/", guard.wrap(Starlette(routes=[Route("/x", said)]), NEEDS))])
    guard.protect(app)
    return app


DOORS = {
    "fastapi": (FastAPIGuard, fastapi, True),
    "fastapi, not protected": (FastAPIGuard, fastapi, False),
    "fasterapi": (FasterAPIGuard, fasterapi, True),
    "fasterapi, not protected": (FasterAPIGuard, fasterapi, False),
    "starlette": (StarletteGuard, starlette, True),
    "starlette, not protected": (StarletteGuard, starlette, False),
    "starlette by default": (StarletteGuard, by_default, True),
    "starlette mount": (StarletteGuard, mounted, True),
}


# FasterAPI's own exception carries one text: without `protect` the challenge is exact, and the body has no more than that.
ONE_TEXT = "fasterapi, not protected"


# Without `protect` the framework runs the guard before it runs what declares the requirement: a 401 cannot name that.
NO_PLAN = {"fastapi, not protected", "fasterapi, not protected"}


def as_far_as(door, answer):
    status, headers, body = answer
    if door in NO_PLAN and status == 401:
        headers = headers | {b"www-authenticate": re.sub(rb', scope="[^"]*"', b"", headers[b"www-authenticate"])}
        body = {name: text for name, text in body.items() if name != "scope"}
    return (status, headers, {"detail": body["detail"]}) if door == ONE_TEXT and body else (status, headers, body)


class Broken:
    """A verifier whose provider cannot be reached."""

    async def verify(self, token):
        raise Unavailable("The keys cannot be fetched.", retry_after=7)


def bearer(token):
    return [(b"authorization", b"Bearer " + (token if isinstance(token, bytes) else token.encode()))]


def requests_of(issuer):
    """Bad requests by their names: headers, the query, and the status that the contract demands."""
    good = issuer.token("users:delete")
    head, claims, signature = good.split(".")
    another = Signer(SigningKey.generate("ES256", kid=issuer.key.kid))
    foreign = another.sign({"iss": "https://as.example", "aud": "https://api.example", "sub": "mallory"})
    return {
        "nothing": ([], b"", 401),
        "another scheme": ([(b"authorization", b"Basic YTpi")], b"", 401),
        "no scheme": ([(b"authorization", good.encode())], b"", 401),
        "an empty header": ([(b"authorization", b"")], b"", 401),
        "an empty token": ([(b"authorization", b"Bearer ")], b"", 401),
        "no space": ([(b"authorization", b"Bearer")], b"", 401),
        "two headers": (bearer(good) + bearer(good), b"", 400),
        "two headers, the second forged": (bearer(good) + bearer(foreign), b"", 400),
        "in the query too": (bearer(good), b"access_token=" + good.encode(), 400),
        "in the query only": ([], b"access_token=" + good.encode(), 401),
        "another script": (bearer(b"\xc3\xa9.b.c"), b"", 401),
        "not base64": (bearer('a"b'), b"", 401),
        "too long": (bearer("a" * 100_000), b"", 401),
        "one part": (bearer("abc"), b"", 401),
        "no algorithm": (bearer("eyJhbGciOiJub25lIn0.e30."), b"", 401),
        "another signature": (bearer(f"{head}.{claims}.{signature[::-1]}"), b"", 401),
        "another key": (bearer(foreign), b"", 401),
        "another claim": (bearer(f"{head}.{claims[::-1]}.{signature}"), b"", 401),
        "expired": (bearer(issuer.token("users:delete", lifetime=-120)), b"", 401),
        "another audience": (bearer(issuer.token("users:delete", aud="https://other.example")), b"", 401),
        "another issuer": (bearer(issuer.token("users:delete", iss="https://evil.example")), b"", 401),
        "no scope": (bearer(issuer.token("")), b"", 403),
        "too few": (bearer(issuer.token("users:read")), b"", 403),
        "a scope nobody knows": (bearer(issuer.token("users:delet")), b"", 403),
        "good": (bearer(good), b"", 200),
    }


def answers(app, headers, query):
    status, given, body = over_asgi(app, "/x", headers, query_string=query)
    given = {name.lower(): value for name, value in given.items()}
    if status == 200:
        return status, None, None
    named = {name: given.get(name) for name in (b"www-authenticate", b"content-type", b"cache-control", b"retry-after")}
    return status, named, json.loads(body)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("disclose", [True, False])
def test_every_door_answers_bad_requests_as_the_plain_gate_does(catalog, issuer, door, disclose):
    kind, build, protected = DOORS[door]
    options = {
        "realm": 'the "api"',
        "disclose_scopes": disclose,
        "resource": Resource("https://api.example", ("https://as.example",)),
    }
    verifier = JWTVerifier(
        Keyring.from_keys(issuer.key), issuer="https://as.example", audience="https://api.example", cache_size=64
    )
    app = build(kind(catalog, verifier, **options), protected)
    reference = wrapped(PlainGuard(catalog, issuer.inner, **options), True)

    for name, (headers, query, status) in requests_of(issuer).items():
        expected = answers(reference, headers, query)
        assert expected[0] == status, name
        for _ in range(3):  # the second and third time from memory
            assert answers(app, headers, query) == as_far_as(door, expected), name
        if status in {401, 403}:
            challenge = expected[1][b"www-authenticate"]
            assert b"resource_metadata=" in challenge
            # RFC 6750 section 3. A stranger without credentials is told nothing that no public document says.
            assert (b"scope=" in challenge) is (disclose and b"error=" in challenge)


@pytest.mark.parametrize("door", DOORS)
def test_every_door_says_503_when_nobody_can_tell(catalog, issuer, door):
    kind, build, protected = DOORS[door]
    app = build(kind(catalog, Broken()), protected)
    reference = wrapped(PlainGuard(catalog, Broken()), True)
    headers = bearer(issuer.token("users:delete"))

    expected = answers(reference, headers, b"")
    assert expected[0] == 503
    assert expected[1][b"retry-after"] == b"7"
    assert answers(app, headers, b"") == as_far_as(door, expected)
    assert answers(app, [], b"")[0] == 401


# Without `protect` FastAPI and FasterAPI run the dependencies, each when it likes.
@pytest.mark.parametrize("door", [one for one in [*DOORS, "wrap"] if not one.startswith("fast") or DOORS[one][2]])
def test_a_refusal_is_decided_before_the_body_is_read(catalog, issuer, door):
    kind, build, protected = DOORS.get(door, (PlainGuard, wrapped, True))
    app = build(kind(catalog, issuer.cached()), protected)
    sent = []

    async def receive():
        raise AssertionError("the body was asked for")

    async def send(message):
        sent.append(message)

    for _ in range(2):
        asyncio.run(app(connection("/x"), receive, send))
    assert [one["status"] for one in sent if one["type"] == "http.response.start"] == [401, 401]


def banned(caller):
    if caller.subject == "mallory":
        raise InvalidToken("This person is banned.")
    return caller


class Deriving(JWTVerifier):
    async def verify(self, token):
        return banned(await super().verify(token))


class Wrapping:
    def __init__(self, inner):
        self._inner = inner

    async def verify(self, token):
        return banned(await self._inner.verify(token))

    def __getattr__(self, name):
        return getattr(self._inner, name)


def another_ones(verifier):
    """The verifier of other keys lends its method."""
    other = Deriving(
        Keyring.from_keys(SigningKey.generate("ES256")), issuer=verifier.issuer, audience=verifier.audience
    )
    verifier.verify = other.verify
    return verifier


class Telling:
    """Remembers everybody, and has a `verify` of its own only where somebody gives it one."""

    def __init__(self, inner):
        self._inner = inner

    def verify_now(self, credentials):
        return self._inner.verify_now(credentials)


def replaced(verifier):
    inner = verifier.verify

    async def verify(token):
        return banned(await inner(token))

    verifier.verify = verify
    return verifier


class Proxy:
    """Stands around a method as those of wrapt do: whatever it is asked, its class included, it answers in that one's name."""

    def __init__(self, method):
        self.__dict__["__wrapped__"] = method

    __class__ = property(lambda self: type(self.__wrapped__))

    def __getattr__(self, name):
        return getattr(self.__wrapped__, name)

    async def __call__(self, token):
        return banned(await self.__wrapped__(token))


def proxied(verifier):
    verifier.verify = Proxy(verifier.verify)
    return verifier


@pytest.mark.parametrize("door", [*DOORS, "wrap"])
@pytest.mark.parametrize("how", ["derived", "wrapped", "replaced", "proxied"])
def test_who_refuses_more_in_verify_is_asked_about_each_request(catalog, issuer, door, how):
    kind, build, protected = DOORS.get(door, (PlainGuard, wrapped, True))
    about = (Keyring.from_keys(issuer.key),)
    named = {"issuer": "https://as.example", "audience": "https://api.example"}
    verifier = {
        "derived": lambda: Deriving(*about, **named),
        "wrapped": lambda: Wrapping(JWTVerifier(*about, **named)),
        "replaced": lambda: replaced(JWTVerifier(*about, **named)),
        "proxied": lambda: proxied(JWTVerifier(*about, **named)),
    }[how]()
    app = build(kind(catalog, verifier), protected)

    for _ in range(3):
        assert answers(app, bearer(issuer.token("users:delete")), b"")[0] == 200
        assert answers(app, bearer(issuer.token("users:delete", sub="mallory")), b"")[0] == 401


@pytest.mark.parametrize("door", [*DOORS, "wrap"])
def test_a_guard_that_refuses_more_is_asked_about_each_request(catalog, issuer, door):
    kind, build, protected = DOORS.get(door, (PlainGuard, wrapped, True))

    async def authenticate(self, conn):
        return banned(await kind.authenticate(self, conn))

    derived = type("Derived", (kind,), {"authenticate": authenticate})
    app = build(derived(catalog, issuer.cached()), protected)

    for _ in range(3):
        assert answers(app, bearer(issuer.token("users:delete")), b"")[0] == 200
        assert answers(app, bearer(issuer.token("users:delete", sub="mallory")), b"")[0] == 401


@pytest.mark.parametrize(("kind", "app"), [(StarletteGuard, Starlette), (FastAPIGuard, FastAPI)])
@pytest.mark.parametrize("late", [False, True])
def test_a_wrapped_mount_that_mounts_settles_again_is_not_served(catalog, issuer, kind, app, late, caplog):
    guard, app = kind(catalog, issuer), app()
    again = Mount("/files", guard.wrap(asgi_said, "items"))
    if late:
        app.router.routes.append(Mount("/files", asgi_said))
        guard.protect(app, mounts={"/files": guard.requires("me")})
        assert over_asgi(app, "/files/x", bearer(issuer.token("me")))[0] == 200
        app.router.routes.insert(0, again)
        for _ in range(2):
            assert over_asgi(app, "/files/x", bearer(issuer.token("items me")))[0] == 403
        assert "/files is settled twice" in caplog.text
        return

    app.router.routes.append(again)
    guard.protect(app, mounts={"/files": guard.requires("me")})
    with pytest.raises(ConfigurationError, match=r"/files is settled twice: by guard\.wrap"):
        guard.plan(app)


async def its_own(request, error):
    return PlainTextResponse("the application's own", 418)


async def raising(error, request):
    raise error


@pytest.mark.parametrize(("kind", "app"), [(StarletteGuard, Starlette), (FastAPIGuard, FastAPI)])
@pytest.mark.parametrize("first", [True, False])
def test_who_answers_one_kind_of_refusal_leaves_the_others_to_the_guard(catalog, issuer, kind, app, first):
    guard, app = kind(catalog, issuer), app()
    if first:
        app.add_exception_handler(InsufficientScope, its_own)
    guard.protect(app, default=guard.requires())
    if not first:
        app.add_exception_handler(InsufficientScope, its_own)
    for path, error in {"/x": InvalidToken("Another token."), "/few": InsufficientScope("Too few.")}.items():
        app.add_route(path, functools.partial(raising, error))

    status, headers, body = answers(app, bearer(issuer.token()), b"")
    assert (status, body["id"]) == (401, "BW202")
    assert b'error="invalid_token"' in headers[b"www-authenticate"]
    assert over_asgi(app, "/few", bearer(issuer.token()))[0] == 418


@pytest.mark.parametrize(("kind", "app"), [(StarletteGuard, Starlette), (FastAPIGuard, FastAPI)])
def test_who_answers_all_refusals_goes_on_doing_so(catalog, issuer, kind, app):
    guard, app = kind(catalog, issuer), app()
    app.add_exception_handler(BailiwickError, its_own)
    guard.protect(app, default=guard.requires())
    app.add_route("/x", functools.partial(raising, InvalidToken("Another token.")))

    assert over_asgi(app, "/x", bearer(issuer.token()))[0] == 418


def plain_fastapi(guard):
    app = FastAPI(openapi_url=None)
    app.get("/x", dependencies=[guard.requires("items")])(handler)
    return app


def plain_fasterapi(guard):
    app = Faster(openapi_url=None)
    app.get("/x", dependencies=[guard.requires("items")])(handler)
    return app


def plain_starlette(guard):
    return Starlette(routes=[Route("/x", guard.requires("items")(said))])


DECLARED = {
    "fastapi": (FastAPIGuard, plain_fastapi),
    "fasterapi": (FasterAPIGuard, plain_fasterapi),
    "starlette": (StarletteGuard, plain_starlette),
}


@pytest.mark.parametrize("door", DECLARED)
def test_mounts_that_settle_only_what_declares_something_itself_fail_the_start(catalog, issuer, door):
    kind, build = DECLARED[door]
    guard = kind(catalog, issuer)
    app = build(guard)
    guard.protect(app, mounts={"/x/": guard.requires("me")})
    wrong = "/x is settled twice: by its own declaration and by mounts="
    with pytest.raises(ConfigurationError, match=wrong), TestClient(app):
        pass


@pytest.mark.parametrize("door", DECLARED)
def test_a_route_that_declares_something_may_share_its_path_with_a_mount_that_is_settled(catalog, issuer, door):
    kind, build = DECLARED[door]
    guard = kind(catalog, issuer)
    app = build(guard)
    app.mount("/x", Starlette(routes=[Route("/in", said)]))
    guard.protect(app, mounts={"/x": guard.requires("me")})
    with TestClient(app) as client:
        if door != "fasterapi":  # there a mount has its own path to itself
            assert client.get("/x", headers=issuer.bearer("items")).status_code == 200
        assert client.get("/x/in", headers=issuer.bearer("items")).status_code == 403
        assert client.get("/x/in", headers=issuer.bearer("me")).status_code == 200


def twice_in_fastapi(mounted):
    app = FastAPI(openapi_url=None)
    app.mount("/v1", mounted)
    app.mount("/v2", mounted)
    return app


def twice_in_starlette(mounted):
    return Starlette(routes=[Mount("/v1", mounted), Mount("/v2", mounted)])


def inner_fastapi():
    inner = FastAPI(openapi_url=None)
    inner.get("/x")(handler)
    return inner


def inner_starlette():
    return Starlette(routes=[Route("/x", said)])


TWICE = {
    "fastapi": (FastAPIGuard, twice_in_fastapi, inner_fastapi),
    "fastapi, over starlette": (FastAPIGuard, twice_in_fastapi, inner_starlette),
    "starlette": (StarletteGuard, twice_in_starlette, inner_starlette),
}


@pytest.mark.parametrize("door", TWICE)
def test_one_application_that_is_mounted_twice_is_not_decided_by_the_last_of_its_mounts(catalog, issuer, door):
    kind, build, inner = TWICE[door]
    guard = kind(catalog, issuer)
    app = build(inner())
    guard.protect(app, mounts={"/v1/x": guard.requires("items"), "/v2/x": guard.requires("me")})
    with pytest.raises(ConfigurationError, match="are one route, and settled differently"), TestClient(app):
        pass

    app = build(inner())
    alike = kind(catalog, issuer)
    alike.protect(app, mounts={"/v1/x": alike.requires("items"), "/v2/x": alike.requires("items")})
    with TestClient(app) as client:
        for path in ("/v1/x", "/v2/x"):
            assert client.get(path, headers=issuer.bearer("items")).status_code == 200
            assert client.get(path, headers=issuer.bearer("me")).status_code == 403


@pytest.mark.parametrize("door", ["starlette", "starlette, not protected", "fasterapi", "wrap"])
def test_whom_a_derived_guard_names_is_whom_handlers_are_given(catalog, issuer, door):
    kind = DOORS.get(door, (PlainGuard,))[0]
    seen = []

    class Renaming(kind):
        async def authenticate(self, conn):
            caller = await super().authenticate(conn)
            return Principal(f"tenant/{caller.subject}", caller.scopes)  # without a catalog: the guard supplies its own

    guard = Renaming(catalog, issuer.cached())

    async def told(conn):
        seen.append(guard.caller(getattr(conn, "scope", conn)).subject)
        return PlainTextResponse("reached")

    async def told_plainly(conn, receive, send):
        await (await told(conn))(conn, receive, send)

    if door == "fasterapi":
        app = Faster(openapi_url=None)
        guard.protect(app)

        @app.get("/x")
        async def x(caller: Annotated[Principal, guard.requires(NEEDS)]):
            seen.append(caller.subject)
            return "reached"
    elif door == "wrap":
        app = guard.wrap(told_plainly, NEEDS)
    else:
        app = Starlette(routes=[Route("/x", guard.requires(NEEDS)(told))])
        if door == "starlette":
            guard.protect(app)
    for _ in range(2):
        assert answers(app, bearer(issuer.token("users:delete")), b"")[0] == 200
    assert seen == ["tenant/alice"] * 2


@pytest.mark.parametrize("how", ["another one's method", "a function beside nothing"])
def test_whose_verify_is_not_its_own_is_asked_about_each_request(catalog, issuer, how):
    known = JWTVerifier(Keyring.from_keys(issuer.key), issuer="https://as.example", audience="https://api.example")
    if how == "another one's method":
        verifier = another_ones(known)
    else:
        verifier = Telling(known)

        async def nobody(token):
            raise InvalidToken("Nobody.")

        verifier.verify = nobody
    app = wrapped(PlainGuard(catalog, verifier), True)
    for _ in range(3):
        assert answers(app, bearer(issuer.token("users:delete")), b"")[0] == 401


def test_a_check_that_cannot_tell_is_answered_as_verify_answers(catalog, issuer):
    def down(caller):
        raise Unavailable("The list of the banned cannot be read.", retry_after=3)

    verifier = JWTVerifier(
        Keyring.from_keys(issuer.key), issuer="https://as.example", audience="https://api.example", checks=[down]
    )
    app = wrapped(PlainGuard(catalog, verifier), True)
    for _ in range(3):
        assert answers(app, bearer(issuer.token("users:delete")), b"")[0] == 503
