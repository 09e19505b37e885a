"""What is measured, beside what, and what it should reach."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench import tokens

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One application under one kind of request.

    Args:
        key: its name in results.json.
        label: what a reader is shown.
        app: the function of `bench.apps` that makes the application.
        baseline: the key of the open route that it is compared with.
        headers: the headers of the n-th request.
        status: what every answer must be; a run with any other answer is no measurement.
        target: the least ratio to the baseline's requests per second, or None.
        kind: "open", "document", "guard" or "refused".
        counterpart: the document whose code does the same, or "".
    """

    key: str
    label: str
    app: str
    baseline: str
    headers: Callable[[int], Headers]
    status: int = 200
    target: float | None = None
    kind: str = "guard"
    counterpart: str = ""


GOOD: Final = tokens.bearer(tokens.token())
FORGED: Final = [tokens.bearer(tokens.forged(tokens.token(), n)) for n in range(4_000)]
TEXT: Final = tokens.bearer(tokens.tutorial_token(tokens.HELD))
LIST: Final = tokens.bearer(tokens.tutorial_token(tokens.HELD.split()))


def _same(headers: Headers) -> Callable[[int], Headers]:
    return lambda _n: headers


def _another(n: int) -> Headers:
    return FORGED[n % len(FORGED)]


FASTAPI: Final = "fastapi_open"
FASTERAPI: Final = "fasterapi_open"

# The open routes are sent the token as well: what is compared is the application, not the request.
SCENARIOS: Final = (
    Scenario(FASTAPI, "FastAPI, open route", "open_fastapi", FASTAPI, _same(GOOD), kind="open"),
    Scenario(
        "fastapi_declared",
        "Guard, requirement declared on the route",
        "declared",
        FASTAPI,
        _same(GOOD),
        target=0.95,
        counterpart="document_1",
    ),
    Scenario(
        "fastapi_injected",
        "Guard, `Principal` injected",
        "injected",
        FASTAPI,
        _same(GOOD),
        target=0.90,
        counterpart="document_1",
    ),
    Scenario(
        "fastapi_nested",
        "Guard, nested three deep, three scope sets",
        "nested",
        FASTAPI,
        _same(GOOD),
        target=0.85,
        counterpart="document_3",
    ),
    Scenario(
        "document_1", "Document 1: python-jose, `HTTPBearer`", "scopes_tutorial", FASTAPI, _same(TEXT), kind="document"
    ),
    Scenario(
        "document_3", "Document 3: the same nested tree, PyJWT", "internals_page", FASTAPI, _same(TEXT), kind="document"
    ),
    Scenario("pyjwt_tutorial", "FastAPI's tutorial on PyJWT", "pyjwt_tutorial", FASTAPI, _same(TEXT), kind="document"),
    Scenario(
        "refused_no_token",
        "Refused: no token",
        "declared",
        FASTAPI,
        _same(tokens.BROWSER),
        status=401,
        target=1.5,
        kind="refused",
    ),
    Scenario(
        "refused_forged",
        "Refused: forged, the same token again",
        "declared",
        FASTAPI,
        _same(FORGED[0]),
        status=401,
        target=1.5,
        kind="refused",
    ),
    Scenario(
        "refused_forged_new",
        "Refused: forged, another token each time",
        "declared",
        FASTAPI,
        _another,
        status=401,
        target=1.5,
        kind="refused",
    ),
    Scenario(FASTERAPI, "FasterAPI, open route", "open_fasterapi", FASTERAPI, _same(GOOD), kind="open"),
    Scenario(
        "fasterapi_declared",
        "Guard on FasterAPI, `require_scope`",
        "fasterapi_declared",
        FASTERAPI,
        _same(GOOD),
        target=0.90,
        counterpart="document_2",
    ),
    Scenario(
        "document_2", "Document 2: `require_scope`, PyJWT", "fasterapi_page", FASTERAPI, _same(LIST), kind="document"
    ),
)
