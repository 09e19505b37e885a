"""A guard that stands on a class, and that whatever reads the class drops, fails the start, also where default= settles the route."""

import dataclasses
import functools
import inspect
from typing import Annotated, ClassVar

import pytest
from fastapi import APIRouter, Depends, FastAPI, Security
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.endpoints import HTTPEndpoint

from bailiwick import Principal
from bailiwick.errors import ConfigurationError


def class_based(router, *, reads_annotated=False):
    """A class decorator as fastapi-utils has it: `self` becomes a dependency on the class, with what it finds in it.

    Without `reads_annotated` it takes attributes with an annotation and a marker as their value, and drops all others.
    """

    def decorate(cls):
        found = {}
        for name, annotation in vars(cls).get("__annotations__", {}).items():
            value = getattr(cls, name, inspect.Parameter.empty)
            if reads_annotated or hasattr(value, "dependency"):
                found[name] = inspect.Parameter(
                    name, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=annotation
                )

        def init(self, **values):
            vars(self).update(values)

        cls.__init__ = init
        cls.__signature__ = inspect.Signature(list(found.values()))
        for route in [one for one in router.routes if one.endpoint in vars(cls).values()]:
            first, *others = inspect.signature(route.endpoint).parameters.values()
            first = first.replace(default=Depends(cls))
            others = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in others]
            route.endpoint.__signature__ = inspect.Signature([first, *others])
            router.routes.remove(route)
            router.add_api_route(route.path, route.endpoint, dependencies=route.dependencies)
        return cls

    return decorate


def unannotated(guard, router):
    @class_based(router)
    class View:
        caller = Security(guard, scopes=["items"])

        @router.get("/x")
        def x(self):
            return "items"


def annotated(guard, router):
    @class_based(router)
    class View:
        caller: Annotated[str | None, Security(guard, scopes=["items"])] = None

        @router.get("/x")
        def x(self):
            return "items"


def in_a_base(guard, router):
    class Base:
        caller: Annotated[Principal, guard.requires("items")]

    @class_based(router)
    class View(Base):
        @router.get("/x")
        def x(self):
            return "items"


def below_a_dependency(guard, router):
    class Current:
        caller: Annotated[Principal, guard.requires("items")] = None

        def __init__(self, q: str = ""):
            self.q = q

    def current(it: Annotated[Current, Depends()]):
        return it

    @router.get("/x", dependencies=[Depends(current)])
    def x():
        return "items"


def of_a_callable_object(guard, router):
    class Checker:
        caller = guard.requires("items")

        def __call__(self, q: str = ""):
            return q

    router.get("/x")(annotated_with(Depends(Checker())))


def of_a_partial_object(guard, router):
    class Checker:
        caller = guard.requires("items")

        def __init__(self, prefix: str, q: str = ""):
            self.q = q

    router.get("/x")(annotated_with(Depends(functools.partial(Checker, "a"))))


def of_a_class_variable(guard, router):
    @dataclasses.dataclass
    class Query:
        caller: ClassVar[Annotated[Principal, guard.requires("items")]]
        q: str = ""

    router.get("/x")(annotated_with(Depends(Query)))


def of_a_method(guard, router):
    class View:
        caller: Annotated[Principal, guard.requires("items")]

        def x(self):
            return "items"

    router.add_api_route("/x", View().x)


def of_a_class_method(guard, router):
    class View:
        caller: Principal = guard.requires("items")

        @classmethod
        def x(cls):
            return "items"

    router.add_api_route("/x", View.x)


def of_a_starlette_endpoint(guard, router):
    class View(HTTPEndpoint):
        caller: Annotated[Principal, guard.requires("items")]

        async def get(self, request):
            raise AssertionError

    router.add_route("/x", View)


def in_a_method_of_a_starlette_endpoint(guard, router):
    class View(HTTPEndpoint):
        async def get(self, request, caller: Annotated[Principal | None, guard.requires("items")] = None):
            raise AssertionError

    router.add_route("/x", View)


def of_a_plain_route(guard, router):
    async def x(request, caller=Security(guard, scopes=["items"])):
        raise AssertionError

    router.add_route("/x", x)


def annotated_with(marker):
    def x(it: Annotated[object, marker]):
        return "items"

    return x


DROPPED = [
    unannotated,
    annotated,
    in_a_base,
    below_a_dependency,
    of_a_callable_object,
    of_a_partial_object,
    of_a_class_variable,
    of_a_method,
    of_a_class_method,
    of_a_starlette_endpoint,
    in_a_method_of_a_starlette_endpoint,
    of_a_plain_route,
]


@pytest.mark.parametrize("how", ["added", "included", "mounted"])
@pytest.mark.parametrize("make", DROPPED, ids=lambda make: make.__name__)
def test_a_guard_that_a_class_drops_fails_the_start_behind_a_default(make, how, guard):
    app = FastAPI()
    if how == "added":
        make(guard, app.router)
    elif how == "included":
        make(guard, router := APIRouter())
        app.include_router(router, prefix="/in")
    else:
        make(guard, (inner := FastAPI()).router)
        app.mount("/in", inner)
    guard.protect(app, default=guard.requires())

    with pytest.raises(ConfigurationError) as failed, TestClient(app):
        pass
    assert failed.value.id == "BW123"
    assert "'caller'" in str(failed.value)
    assert "/x" in str(failed.value)


def test_a_guard_that_a_class_hands_on_runs_once_and_is_no_mistake(guard, issuer):
    router = APIRouter()

    @class_based(router)
    class View:
        caller: Principal = Security(guard, scopes=["items"])

        @router.get("/attribute")
        def attribute(self):
            return self.caller.subject

    other = APIRouter()

    @class_based(other, reads_annotated=True)
    class Other:
        caller: Annotated[Principal, Security(guard, scopes=["items"])]

        @other.get("/annotated")
        def annotated(self):
            return self.caller.subject

    @dataclasses.dataclass
    class Query:
        caller: Annotated[Principal, guard.requires("items")]
        q: str = ""

    app = FastAPI()
    app.include_router(router)
    app.include_router(other)

    @app.get("/dataclass")
    def dataclass(query: Annotated[Query, Depends()]):
        return query.caller.subject

    guard.protect(app, default=guard.requires())
    with TestClient(app) as client:
        for path in ("/attribute", "/annotated", "/dataclass"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers=issuer.bearer("me")).status_code == 403
            assert client.get(path, headers=issuer.bearer("items")).json() == "alice"


def test_what_a_class_keeps_for_its_routes_decorators_is_no_mistake(guard, issuer):
    class Items:
        reader = guard.requires("items")
        writer = guard.requires("me")
        kept = guard
        Caller = Annotated[Principal, guard.requires("items")]

        def __init__(self, router):
            router.add_api_route("/x", self.read, dependencies=[self.reader])
            router.add_api_route("/x", self.write, dependencies=[self.writer], methods=["POST"])

        def read(self, caller: Caller):
            return caller.subject

        def write(self):
            return "written"

    app = FastAPI()
    Items(app.router)
    guard.protect(app)
    with TestClient(app) as client:
        assert client.get("/x", headers=issuer.bearer("items")).json() == "alice"
        assert client.post("/x", headers=issuer.bearer("items")).status_code == 403
        assert client.post("/x", headers=issuer.bearer("me")).json() == "written"


def test_annotations_of_classes_that_nobody_can_evaluate_stay_nobodys_business(guard):
    class Service:
        auth: "AuthClient"  # noqa: F821 - as under TYPE_CHECKING
        caller: "Principal | Unknown" = None  # noqa: F821

        def __init__(self, q: str = ""):
            self.q = q

    class Model(BaseModel):
        q: str = ""

    app = FastAPI()

    @app.get("/x")
    def x(service: Annotated[Service, Depends()], model: Annotated[Model, Depends()]):
        return service.q + model.q

    guard.protect(app, default=guard.requires())
    assert guard.plan(app)


def test_text_of_a_class_that_looks_like_a_guard_is_not_passed_over(guard):
    class Service:
        caller: "Annotated[Principal, Security(local, scopes=['items'])]" = None  # noqa: F821

        def __init__(self, q: str = ""):
            self.q = q

    app = FastAPI()
    app.get("/x")(annotated_with(Depends(Service)))
    guard.protect(app, default=guard.requires())
    with pytest.raises(ConfigurationError) as failed:
        guard.plan(app)
    assert failed.value.id == "BW121"
