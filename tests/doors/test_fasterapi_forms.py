"""The FasterAPI door's solver: a dependency runs in whatever form it is written, with its scopes, in its turn."""

import dataclasses
import functools
from typing import Annotated

import pytest
from either_side import client_of
from FasterAPI import (
    BackgroundTasks,
    Depends,
    Faster,
    Form,
    HTTPException,
    OAuth2PasswordRequestForm,
    Request,
    StreamingResponse,
)
from FasterAPI.security import SecurityScopes as PlainSecurityScopes

from bailiwick import Principal
from bailiwick.errors import ConfigurationError
from bailiwick.fasterapi import Security, SecurityScopes


@pytest.fixture
def app(guard):
    app = Faster()
    guard.protect(app, default=guard.public("the guard under test is the application's own"))
    return app


class Refusing:
    """The application's own guard, in every form in which one can be written; each always refuses."""

    def __init__(self):
        self.ran = []

    def refuse(self):
        self.ran.append(1)
        raise HTTPException(status_code=403, detail="refused")

    def form(self, name):
        refuse = self.refuse

        def plain():
            refuse()

        async def coroutine():
            refuse()

        def generator():
            refuse()
            yield

        async def async_generator():
            refuse()
            yield

        class Class:
            def __init__(self):
                refuse()

        class Instance:
            def __call__(self):
                refuse()

            def method(self):
                refuse()

            async def later(self):
                refuse()

            @classmethod
            async def of_class(cls):
                refuse()

            @staticmethod
            def static():
                refuse()

        class AsyncInstance:
            async def __call__(self):
                refuse()

        @dataclasses.dataclass(frozen=True)
        class Frozen:
            role: str

            async def __call__(self):
                refuse()

        @dataclasses.dataclass
        class Unhashable:
            role: str

            async def __call__(self):
                refuse()

        class GeneratorInstance:
            def __call__(self):
                refuse()
                yield

        def wants(role):
            refuse()

        async def wants_later(role):
            refuse()

        @functools.wraps(coroutine)
        def around(*args, **kwargs):
            return coroutine(*args, **kwargs)

        def hands_back():
            return coroutine()

        return {
            "def": plain,
            "async def": coroutine,
            "generator": generator,
            "async generator": async_generator,
            "class": Class,
            "instance": Instance(),
            "async instance": AsyncInstance(),
            "generator instance": GeneratorInstance(),
            "bound method": Instance().method,
            "async bound method": Instance().later,
            "async classmethod": Instance.of_class,
            "staticmethod": Instance.static,
            "frozen dataclass instance": Frozen("a"),
            "unhashable dataclass instance": Unhashable("a"),
            "partial": functools.partial(wants, "a"),
            "async partial": functools.partial(wants_later, role="a"),
            "lambda": lambda role="a": refuse(),
            "sync wrapper around async": around,
            "function that returns a coroutine": hands_back,
        }[name]


FORMS = [
    "def",
    "async def",
    "generator",
    "async generator",
    "class",
    "instance",
    "async instance",
    "generator instance",
    "bound method",
    "async bound method",
    "async classmethod",
    "staticmethod",
    "frozen dataclass instance",
    "unhashable dataclass instance",
    "partial",
    "async partial",
    "lambda",
    "sync wrapper around async",
    "function that returns a coroutine",
]


@pytest.mark.parametrize("where", ["parameter", "annotated", "route", "nested", "include"])
@pytest.mark.parametrize("form", FORMS)
def test_x04_a_guard_of_any_form_runs_and_can_refuse(app, form, where):
    from FasterAPI import FasterRouter

    refusing = Refusing()
    call = refusing.form(form)
    reached = []

    async def above(x: None = Depends(call)):
        reached.append("above")

    if where == "parameter":

        @app.get("/x")
        async def x(guarded: None = Depends(call)):
            reached.append("endpoint")
    elif where == "annotated":

        @app.get("/x")
        async def x(guarded: Annotated[None, Depends(call)]):
            reached.append("endpoint")
    elif where == "route":

        @app.get("/x", dependencies=[Depends(call)])
        async def x():
            reached.append("endpoint")
    elif where == "nested":

        @app.get("/x")
        async def x(guarded: None = Depends(above)):
            reached.append("endpoint")
    else:
        router = FasterRouter()

        @router.get("/x")
        async def x():
            reached.append("endpoint")

        app.include_router(router, dependencies=[Depends(call)])

    response = client_of(app).get("/x")

    assert (response.status_code, response.json()) == (403, {"detail": "refused"})
    assert refusing.ran == [1]
    assert reached == []


def test_a_wrapper_that_hides_its_signature_is_refused_at_start(app, guard):
    async def coroutine():
        raise HTTPException(status_code=403)

    def around(*args, **kwargs):
        return coroutine(*args, **kwargs)

    @app.get("/x", dependencies=[Depends(around)])
    async def x():
        return "open"

    with pytest.raises(ConfigurationError, match=r"GET /x.*around") as refused:
        guard.plan(app)
    assert refused.value.id == "BW122"


def test_a_generator_that_a_plain_function_hands_back_is_no_guard_that_silently_does_nothing(app):
    def generator():
        raise HTTPException(status_code=403)
        yield

    def hands_back():
        return generator()

    @app.get("/x", dependencies=[Depends(hands_back)])
    async def x():
        return "open"

    response = client_of(app).get("/x")

    assert response.status_code >= 400
    assert "open" not in response.text


@pytest.mark.parametrize("form", ["partial", "method", "instance", "sync"])
def test_whatever_form_a_handler_has_it_is_guarded_and_run(app, guard, issuer, form):
    class Handlers:
        async def method(self, caller: Principal = guard.requires("items")):
            return caller.subject

        async def __call__(self, caller: Principal = guard.requires("items")):
            return caller.subject

    async def wants(role, caller: Principal = guard.requires("items")):
        return caller.subject

    def sync(caller: Principal = guard.requires("items")):
        return caller.subject

    handler = {
        "partial": functools.partial(wants, "a"),
        "method": Handlers().method,
        "instance": Handlers(),
        "sync": sync,
    }[form]
    app.get("/x")(handler)
    client = client_of(app)

    assert client.get("/x").status_code == 401
    assert client.get("/x", headers=issuer.bearer("items")).text == "alice"


def test_x02_a_dependency_is_handed_its_scopes_under_either_class_of_that_name(app, guard, issuer):
    seen = {}

    def ours(scopes: SecurityScopes, caller: Annotated[Principal, Security(guard)]):
        seen["ours"] = (scopes.scopes, scopes.scope_str, type(scopes))

    def theirs(scopes: PlainSecurityScopes | None, caller: Annotated[Principal, Security(guard)]):
        seen["theirs"] = (scopes.scopes, scopes.scope_str, type(scopes))

    @app.get("/x")
    async def x(
        a: Annotated[None, Security(ours, scopes=["items", "me"])], b: Annotated[None, Security(theirs, scopes=["me"])]
    ):
        return 1

    assert client_of(app).get("/x", headers=issuer.bearer("items me")).status_code == 200
    assert seen == {"ours": (["items", "me"], "items me", SecurityScopes), "theirs": (["me"], "me", SecurityScopes)}
    assert issubclass(SecurityScopes, PlainSecurityScopes)


def test_the_list_of_scopes_is_the_receivers_own(app, guard, issuer):
    seen = []

    def greedy(scopes: SecurityScopes, caller: Annotated[Principal, Security(guard)]):
        seen.append(list(scopes.scopes))
        scopes.scopes.append("admin:*")

    @app.get("/x")
    async def x(a: Annotated[None, Security(greedy, scopes=["items"])]):
        return 1

    client = client_of(app)
    for _ in range(2):
        client.get("/x", headers=issuer.bearer("items"))

    assert seen == [["items"], ["items"]]


def test_a_dependency_with_a_guard_below_it_runs_once_for_each_set_of_scopes(app, guard, issuer):
    runs = []

    async def current(caller: Annotated[Principal, Security(guard)]):
        runs.append(caller.subject)
        return len(runs)

    @app.get("/x")
    async def x(
        a: Annotated[int, Security(current, scopes=["items"])],
        b: Annotated[int, Security(current, scopes=["items"])],
        c: Annotated[int, Security(current, scopes=["me"])],
    ):
        return [a, b, c]

    assert client_of(app).get("/x", headers=issuer.bearer("items me")).json() == [1, 1, 2]


def test_dependencies_are_left_in_reverse_and_are_told_what_went_wrong(app):
    events = []

    def outer():
        events.append("outer in")
        try:
            yield "o"
        except ValueError as error:
            events.append(f"outer saw {error}")
            raise
        finally:
            events.append("outer out")

    async def inner(o: str = Depends(outer)):
        events.append("inner in")
        yield o + "i"
        events.append("inner out")

    @app.get("/fine")
    async def fine(value: str = Depends(inner)):
        events.append("endpoint")
        return value

    @app.get("/broken")
    async def broken(value: str = Depends(inner)):
        raise ValueError("broken")

    client = client_of(app)

    assert client.get("/fine").text == "oi"
    assert events == ["outer in", "inner in", "endpoint", "inner out", "outer out"]
    events.clear()
    assert client.get("/broken").status_code == 500
    assert events == ["outer in", "inner in", "outer saw broken", "outer out"]


def test_what_a_stream_reads_from_is_left_after_the_stream(app):
    events = []

    def session():
        events.append("open")
        yield events
        events.append("closed")

    @app.get("/x")
    async def x(opened: list = Depends(session)):
        async def stream():
            for _ in range(2):
                opened.append("chunk")
                yield b"x"

        return StreamingResponse(stream())

    assert client_of(app).get("/x").text == "xx"
    assert events == ["open", "chunk", "chunk", "closed"]


def test_an_exception_that_a_dependency_swallows_is_not_answered_with_silence(app):
    def swallowing():
        try:
            yield
        except ValueError:
            return

    @app.get("/x", dependencies=[Depends(swallowing)])
    async def x():
        raise ValueError("broken")

    assert client_of(app).get("/x").status_code == 500


def test_x27_a_bare_depends_takes_the_class_in_the_annotation(app):
    @app.post("/token")
    async def token(form: OAuth2PasswordRequestForm = Depends()):
        return {"user": form.username, "scopes": form.scopes}

    @app.post("/named")
    async def named(form: OAuth2PasswordRequestForm = Depends(OAuth2PasswordRequestForm)):
        return {"user": form.username, "scopes": form.scopes}

    client = client_of(app)
    sent = {"username": "u", "password": "p", "scope": "a b"}

    for path in ("/token", "/named"):
        assert client.post(path, data=sent).json() == {"user": "u", "scopes": ["a", "b"]}


def test_x30_a_guard_named_by_its_annotation_alone_runs(app):
    class MustBeAdmin:
        def __init__(self, request: Request):
            if request.headers.get("x-role") != "admin":
                raise HTTPException(status_code=403, detail="no")

    @app.get("/x")
    async def x(guarded: Annotated[MustBeAdmin, Depends()]):
        return "in"

    client = client_of(app)

    assert client.get("/x").status_code == 403
    assert client.get("/x", headers={"x-role": "admin"}).text == "in"


def test_x15_what_a_partial_has_bound_cannot_be_overwritten_by_the_caller(app):
    async def role(role: str, request: Request):
        return role

    @app.get("/x")
    async def x(who: str = Depends(functools.partial(role, role="admin"))):
        return who

    @app.get("/{role}/y")
    async def y(who: str = Depends(functools.partial(role, role="admin"))):
        return who

    client = client_of(app)

    assert client.get("/x?role=evil").text == "admin"
    assert client.get("/evil/y").text == "admin"


def test_x16_string_annotations_of_bound_methods_and_instances_are_understood(app):
    class Here:
        def method(self, request: "Request"):
            return request.path

        def __call__(self, request: "Request"):
            return request.path

    @app.get("/method")
    async def method(path: str = Depends(Here().method)):
        return path

    @app.get("/instance")
    async def instance(path: str = Depends(Here())):
        return path

    client = client_of(app)

    assert client.get("/method").text == "/method"
    assert client.get("/instance").text == "/instance"


def test_two_markers_on_one_parameter_are_refused_and_a_guard_beside_a_query_runs(app, guard, issuer):
    from FasterAPI import Query

    @app.get("/x")
    async def x(caller: Annotated[Principal, Query(), guard.requires("items")]):
        return caller.subject

    assert client_of(app).get("/x").status_code == 401
    assert client_of(app).get("/x", headers=issuer.bearer("items")).text == "alice"

    other = Faster()
    guard.protect(other)

    @other.get("/y")
    async def y(caller: Annotated[Principal, guard.requires("items"), Depends(lambda: None)]):
        return 1

    with pytest.raises(ConfigurationError, match="GET /y") as refused:
        guard.plan(other)
    assert refused.value.id == "BW123"


def test_dependencies_share_the_body_and_the_background_tasks_of_the_request(app):
    ran = []

    async def first(tasks: BackgroundTasks, name: str = Form()):
        tasks.add_task(ran.append, f"first {name}")
        return name

    class Second:
        def __init__(self, tasks: BackgroundTasks, first: str = Depends(first)):
            tasks.add_task(ran.append, "second")
            self.name = first

    @app.post("/x")
    async def x(tasks: BackgroundTasks, second: Second = Depends(Second), name: str = Form()):
        tasks.add_task(ran.append, "endpoint")
        return [second.name, name]

    assert client_of(app).post("/x", data={"name": "n"}).json() == ["n", "n"]
    assert ran == ["first n", "second", "endpoint"]


def test_x13_a_parameter_that_nothing_fills_is_still_500_and_never_a_guard_that_is_skipped(app):
    reached = []

    async def needs(q: str):
        reached.append("dependency")

    @app.get("/x", dependencies=[Depends(needs)])
    async def x():
        reached.append("endpoint")

    assert client_of(app).get("/x?q=1").status_code == 500
    assert reached == []


def test_the_caller_cannot_be_injected_by_anybody_else(app, guard, issuer):
    async def current(caller: Annotated[Principal, guard.requires("items")]):
        return caller

    @app.get("/{caller}")
    async def x(who: Principal = Depends(current), caller: str = "none"):
        return f"{who.subject} {caller}"

    assert client_of(app).get("/root?caller=root", headers=issuer.bearer("items")).text == "alice root"


# -- the fast path: FasterAPI's own answers to whatever a handler gives or raises -------------------------


def test_what_a_handler_raises_is_answered_by_fasterapi_and_the_handler_is_run_once(guard, issuer):
    from FasterAPI import Body, JSONResponse

    class Ours(Exception):
        pass

    def build(app, declared):
        ran = []

        async def told(request, error):
            return JSONResponse({"told": await request.json(), "path": request.path}, status_code=418)

        app.add_exception_handler(Ours, told)

        @app.post("/body", dependencies=declared)
        async def body(data: dict = Body()):
            ran.append("body")
            raise Ours

        @app.post("/unread", dependencies=declared)
        async def unread():
            ran.append("unread")
            raise Ours

        @app.post("/http", dependencies=declared)
        async def http():
            ran.append("http")
            raise HTTPException(409, {"a": 1}, {"X-Why": "because"})

        @app.post("/broken", dependencies=declared)
        async def broken():
            ran.append("broken")
            raise ValueError("broken")

        return ran

    plain, ours = Faster(), Faster()
    guard.protect(ours)
    expected, seen = build(plain, []), build(ours, [guard.requires()])
    for path in ("/body", "/unread", "/http", "/broken"):
        sent = {"content": b'{"b": 2}', "headers": issuer.bearer("")}
        right, here = client_of(plain).post(path, **sent), client_of(ours).post(path, **sent)
        assert (here.status_code, here.text, here.headers) == (right.status_code, right.text, right.headers), path
    assert seen == expected == ["body", "unread", "http", "broken"]


def test_an_exception_handler_is_given_what_was_read_of_the_request(guard, issuer):
    """A plain one can await nothing: it looks at the body that the handler's parameters were made of."""
    from FasterAPI import Body, JSONResponse

    class Ours(Exception):
        pass

    def build(app, declared):
        forms = []

        def told(request, error):
            return JSONResponse({"told": request.body.decode()}, status_code=418)

        async def told_of_a_form(request, error):
            forms.append(await request.form())
            return 409, request.body, []

        app.add_exception_handler(Ours, told)
        app.add_exception_handler(HTTPException, told_of_a_form)

        @app.post("/body", dependencies=declared)
        async def body(data: dict = Body()):
            raise Ours

        @app.post("/unread", dependencies=declared)
        async def unread(request: Request):
            raise Ours

        @app.post("/form", dependencies=declared)
        async def form(request: Request):
            forms.append(await request.form())
            raise HTTPException(409)

        return forms

    plain, ours = Faster(), Faster()
    guard.protect(ours)
    for app, declared in ((plain, []), (ours, [guard.requires()])):
        forms = build(app, declared)
        answers = [
            client_of(app).post(path, content=b'{"b": 2}', headers=issuer.bearer(""))
            for path in ("/body", "/unread", "/form")
        ]
        assert [(one.status_code, one.text) for one in answers] == [
            (418, '{"told":"{\\"b\\": 2}"}'),
            (418, '{"told":""}'),
            (409, '{"b": 2}'),
        ]
        assert forms[0] is forms[1]


def test_what_a_handler_gives_is_answered_as_fasterapi_answers_it(guard, issuer):
    import msgspec
    from FasterAPI import HTMLResponse

    class Shown(msgspec.Struct):
        name: str
        more: int = 0

    answers = {
        "text": ("plain", {}),
        "bytes": (b"raw", {}),
        "none": (None, {"status_code": 204}),
        "list": ([1], {"status_code": 201}),
        "html": (HTMLResponse("<p>"), {"response_model": Shown}),
        "model": ({"name": "n", "secret": "s", "more": 2}, {"response_model": Shown}),
        "include": (Shown("n"), {"response_model": Shown, "response_model_include": {"name"}}),
        "exclude": (Shown("n"), {"response_model": Shown, "response_model_exclude": {"name"}}),
    }

    def build(app, declared):
        for name, (answer, options) in answers.items():

            @app.get(f"/{name}", dependencies=declared, **options)
            async def handler(request: Request, answer=answer):
                return answer

            @app.get(f"/bare/{name}", dependencies=declared, **options)
            def bare(answer=answer):
                return answer

    plain, ours, public = Faster(), Faster(), Faster()
    guard.protect(ours)
    guard.protect(public)
    build(plain, [])
    build(ours, [guard.requires()])
    build(public, [guard.public("compared")])
    for name in answers:
        for path in (f"/{name}", f"/bare/{name}"):
            right = client_of(plain).get(path)
            for app in (ours, public):
                here = client_of(app).get(path, headers=issuer.bearer(""))
                assert (here.status_code, here.content, here.headers) == (
                    right.status_code,
                    right.content,
                    right.headers,
                )


def test_an_application_that_handles_requests_in_its_own_way_goes_on_doing_so(guard, issuer):
    seen = []

    class Counting(Faster):
        async def _handle_http(self, scope, receive, send):
            seen.append(scope["path"])
            await super()._handle_http(scope, receive, send)

    app = Counting()
    guard.protect(app)

    @app.get("/x")
    async def x(caller: Principal = guard.requires("items")):
        return caller.subject

    assert client_of(app).get("/x").status_code == 401
    assert client_of(app).get("/x", headers=issuer.bearer("items")).text == "alice"
    assert seen == ["/x", "/x"]


# -- beside FasterAPI: the same application, plain and guarded ------------------------------------------------


def beside(guard, build, requests, headers):
    """Ask an application that is plain and one that is guarded the same; both answer alike, and do the same things.

    Args:
        guard: of the guarded one.
        build: given an application, the dependencies of its routes and a list, it adds the routes; what they do they
            tell in the list.
        requests: method, path and body.
        headers: with the token.
    """
    plain, ours = Faster(), Faster()
    guard.protect(ours)
    did, does = [], []
    build(plain, [], did)
    build(ours, [guard.requires()], does)
    statuses = []
    for method, path, content in requests:
        expected = client_of(plain).request(method, path, content=content, headers=headers)
        seen = client_of(ours).request(method, path, content=content, headers=headers)
        assert (seen.status_code, seen.text, does) == (expected.status_code, expected.text, did), path
        statuses.append(seen.status_code)
    return statuses, does


def test_a_task_or_a_pool_of_connections_is_handed_on_as_the_value_that_it_is(guard, issuer):
    import asyncio

    async def work():
        return "done"

    def start():
        return asyncio.ensure_future(work())

    class Pool:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return "connected"

    async def connect():
        return Pool()

    def build(app, declared, did):
        @app.get("/task", dependencies=declared)
        async def task(started: object = Depends(start)):
            return await started

        @app.get("/pool", dependencies=declared)
        async def pool(one: object = Depends(lambda: Pool()), other: object = Depends(connect)):  # noqa: PLW0108
            return [type(one).__name__, type(other).__name__, await one]

    requests = [("GET", "/task", None), ("GET", "/pool", None)]
    assert beside(guard, build, requests, issuer.bearer(""))[0] == [200, 200]


def test_a_path_that_is_wrong_is_refused_before_a_body_is_read_and_before_a_dependency_that_stands_after_it(
    guard, issuer
):
    from enum import Enum

    import msgspec
    from FasterAPI import Cookie, Path

    class Colour(Enum):
        RED = "red"

    class Item(msgspec.Struct):
        name: str

    def build(app, declared, did):
        async def charge():
            did.append("charged")

        async def pay():
            raise HTTPException(402, "pay first")

        async def shade(colour: Colour, paid: None = Depends(charge)):
            did.append("shade")

        @app.post("/{colour}/bare", dependencies=declared)
        async def bare(colour: Colour, item: Item, charged: None = Depends(charge)):
            return [colour.value, item.name]

        @app.post("/{colour}/marked", dependencies=declared)
        async def marked(colour: Colour = Path(), paid: None = Depends(pay)):
            return colour.value

        @app.post("/{colour}/annotated", dependencies=declared)
        async def annotated(colour: Annotated[Colour, Path()], charged: Annotated[None, Depends(charge)]):
            return colour.value

        @app.post("/{colour}/missing", dependencies=declared)
        async def missing(other: str = Path(), charged: None = Depends(charge)):
            return other

        @app.post("/{colour}/below", dependencies=declared)
        async def below(shade: None = Depends(shade)):
            return "below"

        @app.post("/{colour}/last", dependencies=declared)
        async def last(charged: None = Depends(charge), item: Item = None, colour: Colour = Path()):
            return colour.value

        @app.post("/{colour}/default", dependencies=declared)
        async def default(charged: None = Depends(charge), other: Colour = Colour.RED, here: str = Path(default="d")):
            return [other.value, here]

        @app.post("/{colour}/unfilled", dependencies=declared)
        async def unfilled(other: Colour, charged: None = Depends(lambda: None)):
            return other.value

        @app.post("/{colour}/cookie", dependencies=declared)
        async def cookie(session: str = Cookie(default=None), charged: None = Depends(charge)):
            return session

    routes = ["bare", "marked", "annotated", "missing", "below", "last", "default", "unfilled", "cookie"]
    requests = [
        ("POST", f"/{colour}/{route}", body)
        for route in routes
        for colour in ("red", "blue")
        for body in (b'{"name": "n"}', b'{"name": 1}')
    ]
    broken = issuer.bearer("") | {"cookie": "a@b=c; session=s"}
    for headers in (issuer.bearer(""), broken):
        statuses, _ = beside(guard, build, requests, headers)
        assert {200, 402, 422, 500} == set(statuses)


def test_a_class_that_is_made_from_the_request_is_handed_it_whatever_its_parameter_is_called(guard, issuer):
    class Login:
        def __init__(self, name):
            self.name = name

        @classmethod
        async def from_request(cls, req):
            made.append(cls)
            return cls((await req.form()).get("name"))

    class Odd(Login):
        @classmethod
        async def from_request(cls, tasks: BackgroundTasks, q: int = 3):
            return await super().from_request(tasks)

    made = []

    def build(app, declared, did):
        async def name(form: Login = Depends(Login)):
            return form.name

        @app.post("/named", dependencies=declared)
        async def named(form: Login = Depends(Login), name: str = Depends(name)):
            return [form.name, name]

        @app.post("/odd", dependencies=declared)
        async def odd(form: Odd = Depends(), other: Odd = Depends(Odd, use_cache=False)):
            return [form.name, form is other]

    requests = [("POST", path, b"name=ada") for path in ("/named", "/odd")]
    assert beside(guard, build, requests[:1], issuer.bearer(""))[0] == [200]
    assert made == [Login, Login]  # once in each application
    # FasterAPI runs no bare Depends().
    app = Faster()
    guard.protect(app, default=guard.requires())
    build(app, [], [])
    assert client_of(app).post("/odd", content=b"name=ada", headers=issuer.bearer("")).json() == ["ada", False]


def test_a_guard_that_stands_in_from_request_is_never_run_and_so_is_refused_at_start(app, guard):
    class Form:
        @classmethod
        async def from_request(cls, request: Request, caller: Principal = guard.requires("items")):
            return cls()

    @app.get("/x")
    async def x(form: Form = Depends(Form)):
        return "open"

    with pytest.raises(ConfigurationError, match=r"GET /x.*'caller'.*from_request") as refused:
        guard.plan(app)
    assert refused.value.id == "BW123"
