"""How a form, or a JSON body, arrives over HTTP: its content type and its size. `authority` knows what is in it."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from bailiwick.authority import request as authority_request
from bailiwick.errors import Refused

__all__ = ["MAX_BODY", "read_form", "read_json", "read_page"]

# A token request is a few hundred bytes, and a few thousand with a client assertion. Past this it is
# an attempt to fill memory (hashing and parsing cost time in proportion).
MAX_BODY: Final = 64 * 1024  # bytes

# Seconds for all of a body, also where the server in front has no deadline of its own (slow POST): 64 KiB in that time is
# less than a modem's 56 kbit/s.
BODY_SECONDS: Final = 20

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"

# A consent page has a box for each scope that is asked for.
MAX_BOXES: Final = 4096


async def read_form(request: Request) -> list[tuple[str, str]]:
    """Read a form body as the pairs that were sent, repeated ones included.

    Raises:
        Refused: another content type, a body over `MAX_BODY`, or one that is not an encoded form.

    Source: RFC 6749 section 3.2 and appendix B (UTF-8 in application/x-www-form-urlencoded).
    """
    check_content_type(request, FORM)
    return authority_request.read_form(await _read_body(request))


async def read_page(request: Request) -> list[tuple[str, str]]:
    """Read what one of our own pages sends back: as `read_form`, with as many ticked boxes as a body can hold.

    Raises:
        Refused: as `read_form`.
    """
    check_content_type(request, FORM)
    body = await _read_body(request)
    try:
        return parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_BOXES)
    except ValueError as bad:  # UnicodeDecodeError is one
        raise Refused("invalid_request", "The form cannot be read.", id="BW400") from bad


async def read_json(request: Request) -> bytes:
    """Read a JSON body, not yet parsed.

    Raises:
        Refused: another content type, or a body over `MAX_BODY`.

    Source: RFC 7591 section 3.1.
    """
    check_content_type(request, JSON)
    return await _read_body(request)


def check_content_type(request: Request, wanted: str) -> None:
    """Refuse anything that is not plainly of the type that is read here.

    A JSON body that happens to parse, or a multipart body, is refused and not guessed at: two
    parsers that read one body differently are how a proxy's check is bypassed.
    """
    sent = request.headers.getlist("content-type")
    kind = sent[0].partition(";")[0].strip(" \t").lower() if len(sent) == 1 else ""
    if kind != wanted:
        what = "a form" if wanted == FORM else "JSON"
        raise Refused("invalid_request", f"The request must be {what}: Content-Type {wanted}.", id="BW408")
    if request.headers.get("content-encoding", "identity").strip(" \t").lower() != "identity":
        raise Refused("invalid_request", "A compressed body is not accepted.", id="BW408")


async def _read_body(request: Request) -> bytes:
    """The body, never more of it than `MAX_BODY`: counted as it arrives, because Content-Length may lie or be absent.

    Raises:
        Refused: it is larger (BW409), ends early, or is not there in time (BW423; RFC 9110 section 15.5.9).
    """
    too_large = Refused("invalid_request", f"The body is larger than {MAX_BODY} bytes.", status=413, id="BW409")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > MAX_BODY):
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise too_large
    except TimeoutError as late:
        raise Refused("invalid_request", "The body took too long.", status=408, id="BW423") from late
    except ClientDisconnect as gone:
        raise Refused("invalid_request", "The body ended early.", detail="The client disconnected.") from gone
    return bytes(body)
