"""How a form arrives: content type, size, encoding."""

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from bailiwick.authority.request.form import MAX_FIELDS
from bailiwick.errors import Refused
from bailiwick.web.answers import answer, refuse
from bailiwick.web.form import MAX_BODY, read_form

pytestmark = pytest.mark.anyio

FORM = {"content-type": "application/x-www-form-urlencoded"}


async def echo(request: Request):
    try:
        return answer({"pairs": await read_form(request)})
    except Refused as why:
        return refuse(request, why)


@pytest.fixture
async def client():
    app = Starlette(routes=[Route("/", echo, methods=["POST"])])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def test_pairs_come_as_they_were_sent_repeated_and_empty_ones_included(client):
    answered = await client.post("/", content=b"a=1&a=2&b=&=c&d&&e=%2B+%C3%A9%26", headers=FORM)
    assert answered.json()["pairs"] == [["a", "1"], ["a", "2"], ["b", ""], ["", "c"], ["d", ""], ["e", "+ é&"]]


async def test_an_empty_body_is_an_empty_form(client):
    assert (await client.post("/", content=b"", headers=FORM)).json()["pairs"] == []


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded-not",
        "",
        None,
    ],
)
async def test_anything_but_a_form_is_refused_by_its_content_type(client, kind):
    headers = {} if kind is None else {"content-type": kind}
    answered = await client.post("/", content=b"a=1", headers=headers)
    assert answered.status_code == 400
    assert answered.json()["error"] == "invalid_request"
    assert answered.json()["id"] == "BW408"


async def test_two_content_types_are_refused_whichever_comes_first(client):
    for kinds in (("application/x-www-form-urlencoded", "application/json"), ("text/plain", FORM["content-type"])):
        answered = await client.post("/", content=b"a=1", headers=[("content-type", kind) for kind in kinds])
        assert answered.json()["id"] == "BW408"


@pytest.mark.parametrize(
    "kind", ["Application/X-WWW-Form-Urlencoded", "application/x-www-form-urlencoded;charset=UTF-8"]
)
async def test_case_and_parameters_of_the_content_type_do_not_matter(client, kind):
    assert (await client.post("/", content=b"a=1", headers={"content-type": kind})).status_code == 200


async def test_a_compressed_body_is_refused(client):
    answered = await client.post("/", content=b"a=1", headers={**FORM, "content-encoding": "gzip"})
    assert answered.json()["id"] == "BW408"


async def test_a_body_of_64_kib_passes_and_one_byte_more_is_refused(client):
    fits = b"a=" + b"x" * (MAX_BODY - 2)
    assert (await client.post("/", content=fits, headers=FORM)).status_code == 200
    answered = await client.post("/", content=fits + b"x", headers=FORM)
    assert answered.status_code == 413
    assert answered.json()["error"] == "invalid_request"
    assert answered.json()["id"] == "BW409"


async def test_a_body_without_a_length_is_counted_as_it_arrives():
    sent = 0

    async def receive():
        nonlocal sent
        sent += 1
        return {"type": "http.request", "body": b"x" * 8192, "more_body": True}

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": [(b"content-type", FORM["content-type"].encode())],
    }
    with pytest.raises(Refused) as refused:
        await read_form(Request(scope, receive))
    assert refused.value.id == "BW409"
    assert sent == 9  # 64 KiB and one chunk more, of a stream that never ends


@pytest.mark.parametrize("length", ["65537", "99999999999999999999999999999999"])
async def test_a_length_that_is_too_large_is_refused_before_the_body_is_read(length):
    async def receive():
        raise AssertionError("the body was read")

    headers = [(b"content-type", FORM["content-type"].encode()), (b"content-length", length.encode())]
    with pytest.raises(Refused) as refused:
        await read_form(Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive))
    assert refused.value.status == 413


@pytest.mark.parametrize("body", [b"a=%ff", b"%c3=1", b"a=\xff\xfe", b"a=%ed%a0%80"])
async def test_a_body_that_is_not_utf_8_is_refused(client, body):
    answered = await client.post("/", content=body, headers=FORM)
    assert answered.status_code == 400
    assert answered.json()["error"] == "invalid_request"


async def test_too_many_fields_are_refused(client):
    assert (await client.post("/", content=b"&".join([b"a=1"] * MAX_FIELDS), headers=FORM)).status_code == 200
    answered = await client.post("/", content=b"&".join([b"a=1"] * (MAX_FIELDS + 1)), headers=FORM)
    assert answered.status_code == 400


async def test_a_client_that_hangs_up_is_not_a_fault_of_ours():
    async def receive():
        return {"type": "http.disconnect"}

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": [(b"content-type", FORM["content-type"].encode())],
    }
    with pytest.raises(Refused, match="ended early"):
        await read_form(Request(scope, receive))


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("bailiwick.web.form.BODY_SECONDS", 0.05)

    async def receive():
        receive.asked += 1
        if receive.asked > 1:
            await asyncio.sleep(3600)
        return {"type": "http.request", "body": b"a=", "more_body": True}

    receive.asked = 0
    conn = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": [(b"content-type", FORM["content-type"].encode())],
    }
    with pytest.raises(Refused) as late:
        await read_form(Request(conn, receive))
    assert (late.value.status, late.value.id) == (408, "BW423")
    assert refuse(Request(conn), late.value).headers["connection"] == "close"
