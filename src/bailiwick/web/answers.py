"""How answers and refusals are written on the wire (RFC 6749 section 5)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bailiwick.errors import BailiwickError, Refused, StoreError, Unavailable

__all__ = ["NO_STORE", "STORE_RETRY", "answer", "fault", "note", "refuse", "unexpected"]

log = logging.getLogger("bailiwick.web")

# RFC 6749 section 5.1: both headers, on every answer that holds tokens, credentials or says why there are none.
NO_STORE: Final[Mapping[str, str]] = MappingProxyType({"cache-control": "no-store", "pragma": "no-cache"})

# Seconds after which a failed store is worth another try.
STORE_RETRY: Final = 5

# How much of a path, and of a detail, the log repeats.
MAX_PATH: Final = 200
MAX_DETAIL: Final = 1000


def answer(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] = NO_STORE) -> Response:
    """A JSON answer that nobody may keep."""
    return JSONResponse(dict(body), status_code=status, headers=dict(headers))


def refuse(request: Request, why: BailiwickError) -> Response:
    """Write a refusal: the code, the sentence for the caller and the stable id. The detail goes to the log."""
    status, headers = why.status, dict(NO_STORE)
    body = {"error": why.code, "error_description": _printable(why.description), "id": why.id}
    # RFC 6749 section 5.2: a 401 to a client that used the Authorization header carries a challenge
    # of the scheme that it used. RFC 9110 section 15.5.2 wants a challenge with every 401.
    if status == 401:
        bearer = why.code == "invalid_token"  # at the registration endpoint, RFC 7592 section 2
        headers["www-authenticate"] = (
            'Bearer error="invalid_token"' if bearer else 'Basic realm="bailiwick", charset="UTF-8"'
        )
    retry_after = getattr(why, "retry_after", None)
    if isinstance(why, StoreError):
        retry_after = STORE_RETRY
        body["error_description"] = "The service cannot reach its data just now."
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    if status == 408:
        headers["connection"] = (
            "close"  # RFC 9110 section 15.5.9: the rest of the body would be read as the next request
        )
    note(request, why)
    return JSONResponse(body, status_code=status, headers=headers)


def note(request: Request, why: BailiwickError) -> None:
    """Write a refusal's detail into the log; the query stays out of it.

    What a formatter may want as fields of their own is the record's `refusal`.
    """
    ours = isinstance(why, StoreError | Unavailable) or why.status >= 500
    method, path, detail = request.method, _shown(request.scope["path"][:MAX_PATH]), _shown(why.detail[:MAX_DETAIL])
    # Behind a proxy that is named in the settings, the caller's own address.
    address = request.client.host if request.client is not None else ""
    fields = {"id": why.id, "status": why.status, "method": method, "path": path, "address": address, "detail": detail}
    level = logging.ERROR if ours else logging.INFO
    log.log(level, "%s %s refused: %s [%s]", method, path, detail, why.id, extra={"refusal": fields})


def unexpected(request: Request, why: Exception) -> Response:
    """Answer a fault of ours without saying anything about it; the log has the traceback."""
    return refuse(request, fault(request, why))


def fault(request: Request, why: Exception) -> Refused:
    """Write a fault of ours into the log with its traceback; the answer says nothing about it."""
    log.error(
        "%s %s failed: %s [BW500]",
        request.method,
        _shown(request.scope["path"][:MAX_PATH]),
        type(why).__name__,
        exc_info=why,
    )
    return Refused("server_error", "The service failed; this is not your fault.", status=500, id="BW500")


def _shown(text: str) -> str:
    """A text for the log: anybody can put line ends and a terminal's commands into a path, or into what a detail repeats."""
    return "".join(c if " " <= c <= "~" else ascii(c)[1:-1] for c in text)


def _printable(text: str) -> str:
    """RFC 6749 section 5.2: error_description holds only %x20-21 / %x23-5B / %x5D-7E."""
    return "".join("'" if c == '"' else c if " " <= c <= "~" and c != "\\" else "?" for c in text)
