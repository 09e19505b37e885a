"""Functions whose signatures look as if nothing could hide in them, and what does: it is refused at start, or it runs."""

import functools
import inspect
import sys
import types
from typing import Annotated, Any, Generic, NewType, TypeVar

import pytest
from fastapi import Body, Depends, FastAPI, Query, Security
from fastapi.testclient import TestClient
from typing_extensions import TypeAliasType

from bailiwick import Principal
from bailiwick.errors import ConfigurationError
from bailiwick.fastapi import Guard
from bailiwick.frameworks.fastapi.signature_checks import Signatures
from bailiwick.guard.signature_checks import takes_values_only


def annotated(annotation, *defaults):
    """A function that takes one parameter, annotated afterwards."""

    def handler(x):
        return "reached"

    handler.__annotations__ = {"x": annotation}
    handler.__defaults__ = defaults or None
    return handler


def wrapped(inner):
    @functools.wraps(inner)
    def outer(*args, **kwargs):
        return inner(*args, **kwargs)

    return outer


def claiming(signature_of):
    """A function of plain parameters that says its signature is another's."""

    def handler(x: int) -> str:
        return "reached"

    handler.__signature__ = inspect.signature(signature_of)
    return handler


def by_keyword(default):
    def handler(*, x: int) -> str:
        return "reached"

    handler.__kwdefaults__ = {"x": default}
    return handler


class Lenient(type):
    """Says of everything that it is an instance, and of itself what it likes."""

    def __instancecheck__(cls, one):
        return True

    def __subclasscheck__(cls, one):
        return True


class Odd(metaclass=Lenient):
    def __class_getitem__(cls, item):
        return list[item]


T = TypeVar("T")
Json = TypeAliasType("Json", "dict[str, Json] | list[Json] | str | int | None")
if sys.version_info >= (3, 12):
    exec("type Json = dict[str, Json] | list[Json] | str | int | None")


def hiding(guard):
    """Functions that mention a guard where FastAPI does not look, or not in the way that was meant."""
    marker = Security(guard, scopes=("items",))
    number = Annotated[int, marker]
    guarded = TypeAliasType("guarded", Annotated[T, marker], type_params=(T,))
    pair = TypeAliasType("pair", tuple[T, T], type_params=(T,))
    return {
        "inside a list": annotated(list[number], []),
        "inside a list that is required": annotated(list[number]),
        "inside a tuple": annotated(tuple[number, ...], ()),
        "inside a union": annotated(number | None, None),
        "inside what a class makes of it": annotated(Odd[number], []),
        "in what a generic alias adds": annotated(guarded[int], 1),
        "in an argument of a generic alias": annotated(pair[number], ()),
        "in the text of an alias": annotated(TypeAliasType("later", "list[number]"), []),
        "in front of a query": annotated(Annotated[int, marker, Query()], 1),
        "without Security": annotated(Annotated[int, guard], 1),
        "as a default": annotated(int, guard),
        "as a keyword's default": by_keyword(guard),
        "in the signature that is claimed": claiming(annotated(list[number], [])),
        "in what is wrapped": wrapped(annotated(list[number], [])),
    }


@pytest.mark.parametrize("what", hiding(None))
@pytest.mark.parametrize("below", [False, True], ids=["in a handler", "in a dependency"])
def test_a_guard_is_refused_at_start_that_stands(what, below, guard):
    app = FastAPI()
    function = hiding(guard)[what]
    assert not takes_values_only(function)
    if below:
        app.get("/x", dependencies=[Depends(function)])(lambda: "reached")
    else:
        app.get("/x")(function)
    guard.protect(app, default=guard.public("nobody would notice"))
    with pytest.raises(ConfigurationError) as refused:
        guard.plan(app)
    assert refused.value.id in {"BW121", "BW123"}


def test_a_claimed_signature_with_a_guard_that_fastapi_runs_is_guarded(guard, issuer):
    app = FastAPI()
    app.get("/claimed")(claiming(annotated(Annotated[Any, Security(guard, scopes=["items"])])))
    app.get("/wrapped")(wrapped(annotated(Annotated[Any, Security(guard, scopes=["items"])])))
    guard.protect(app)
    client = TestClient(app)
    for path in ("/claimed", "/wrapped"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers=issuer.bearer("me")).status_code == 403
        assert client.get(path, headers=issuer.bearer("items")).status_code == 200


def test_a_body_whose_type_leads_back_to_itself_is_read_to_its_end(guard, issuer):
    app = FastAPI()
    guard.protect(app)

    @app.post("/", dependencies=[guard.requires("items")])
    async def post(body: Annotated[Json, Body()]):
        return body

    client = TestClient(app)
    assert client.post("/", json={"a": [1]}).status_code == 401
    assert client.post("/", json={"a": [1]}, headers=issuer.bearer("items")).json() == {"a": [1]}


def test_a_function_that_hides_a_guard_only_after_another_was_read_is_read_itself(guard):
    """Signatures are looked up by identity: two functions of one code are two."""
    plain = annotated(int, 1)
    twin = types.FunctionType(plain.__code__, plain.__globals__, "handler", (guard,))
    signatures = Signatures()
    assert not signatures.of(plain).marked
    assert signatures.of(twin).marked


def plain(guard):
    """Functions that are as plain as they look."""
    namespace: dict[str, Any] = {}
    if sys.version_info >= (3, 12):
        exec("type Number = int\ndef generic[T](x: T): ...\ndef alias(x: Number): ...", namespace)
    return [
        annotated(annotation)
        for annotation in (
            int,
            Odd,
            Guard,
            type(guard.requires("items").dependency),
            Principal,
            inspect.Parameter.empty,
            Generic[TypeVar("T")],
            NewType("Id", int),
            TypeVar("T"),
            types.SimpleNamespace(),
            None,
        )
    ] + [one for one in namespace.values() if isinstance(one, types.FunctionType)]


def test_what_is_taken_for_plain_without_being_read_says_the_same_when_it_is_read(guard):
    unread = [one for one in plain(guard) if takes_values_only(one)]
    if sys.version_info < (3, 14):
        assert len(unread) >= 6  # the classes
    for function in unread:
        signatures = Signatures()
        assert signatures.of(function) == signatures.read(function)
        assert not signatures.of(function).marked
