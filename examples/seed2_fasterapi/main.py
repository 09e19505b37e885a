"""The application of the FasterAPI documentation page "OAuth2 Scopes", written on Bailiwick.

Items, an admin panel, and a login that gives the scopes of a role, or fewer. One process issues and verifies
its tokens (HS256 with a secret that never leaves it); as soon as a second one verifies them, use
`bailiwick.server` instead.

    EXAMPLE_PASSWORD=... SECRET_KEY=... uvicorn main:app
"""
# ruff: noqa: B008 - the page's spelling is a call in a default

import json
import os
import secrets
import time
from dataclasses import dataclass

import anyio
import anyio.lowlevel
import anyio.to_thread
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from FasterAPI import Depends, Faster, Form, HTTPException, JSONResponse, Request

from bailiwick import Catalog, InsufficientScope, InvalidScope, Principal, Role, ScopeSet
from bailiwick.fasterapi import Guard, require_scope
from bailiwick.scopes import Ceilings, issue
from bailiwick.tokens import JWTVerifier, Keyring, Signer, SigningKey

# -- which scopes exist, and which role holds them -------------------------------------------

SCOPES = {
    "read:items": "Read access to items",
    "write:items": "Create and update items",
    "delete:items": "Delete items",
    "admin": "Full administrative access",
}

catalog = Catalog(
    SCOPES,
    roles=[
        Role("user", ["read:items"]),
        Role("editor", ["read:items", "write:items"]),
        Role("admin", ["read:items", "write:items", "delete:items", "admin"]),
    ],
)
EVERYTHING = ScopeSet(SCOPES)

# -- tokens --------------------------------------------------------------------------------

ISSUER = "https://items.example"
AUDIENCE = "https://items.example/api"
ACCESS_TOKEN_EXPIRE_MINUTES = 30
SECRET_KEY = os.environ.get("SECRET_KEY") or secrets.token_urlsafe(48)

signer = Signer(SigningKey.from_secret(SECRET_KEY))
verifier = JWTVerifier(
    Keyring.from_secret(SECRET_KEY),
    issuer=ISSUER,
    audience=AUDIENCE,
    scope_claim="scopes",  # the page's claim, a list; RFC 9068 says `scope`, a text
    leeway=0,  # one process, one clock
)


def create_access_token(subject: str, scopes: ScopeSet, *, lifetime: float = 60 * ACCESS_TOKEN_EXPIRE_MINUTES) -> str:
    """Sign a token for a person, with the scopes as a list."""
    now = int(time.time())
    return signer.sign(
        {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "client_id": "login",
            "iat": now,
            "exp": int(now + lifetime),
            "jti": secrets.token_urlsafe(16),
            "scopes": list(scopes),
        }
    )


# -- people --------------------------------------------------------------------------------


@dataclass(frozen=True)
class User:
    username: str
    hashed_password: str
    role: str = "user"


hasher = PasswordHasher()
nobody = hasher.hash(secrets.token_urlsafe(16))
users_db: dict[str, User] = {}


def add_user(username: str, password: str, role: str = "user") -> None:
    users_db[username] = User(username, hasher.hash(password), catalog.roles[role].name)


async def verify_password(user: User | None, password: str) -> bool:
    """Whether the password is right; it takes as long where there is no such user."""

    def check() -> bool:
        try:
            hasher.verify(user.hashed_password if user is not None else nobody, password)
        except VerificationError:
            return False
        return user is not None

    # FasterAPI runs plain functions on the event loop, where a hash would stop every other request.
    return await anyio.to_thread.run_sync(check, limiter=hashing())


_hashing: dict[object, anyio.CapacityLimiter] = {}


def hashing() -> anyio.CapacityLimiter:
    """Two at a time: each hash takes 64 MiB, and a rush of logins must not take all memory."""
    token = anyio.lowlevel.current_token()
    if token not in _hashing:
        _hashing.clear()
        _hashing[token] = anyio.CapacityLimiter(2)
    return _hashing[token]


# -- the API -------------------------------------------------------------------------------

guard = Guard(catalog, verifier, token_url="/auth/token")
app = Faster(title="OAuth2 scopes")
guard.protect(app)


@app.on_startup
def people() -> None:
    if not users_db:
        password = os.environ.get("EXAMPLE_PASSWORD") or secrets.token_urlsafe(12)
        for username, role in (("bob", "user"), ("alice", "editor"), ("root", "admin")):
            add_user(username, password, role)
        if "EXAMPLE_PASSWORD" not in os.environ:
            print(f"bob (user), alice (editor) and root (admin) log in with {password}")


async def explain(request: object, error: InsufficientScope) -> JSONResponse:
    """The page's words for 403; status, challenge and code stay the guard's."""
    answer = guard.challenge.answer(error)
    body = json.loads(answer.body) | {"detail": f"Insufficient scope. Required: {error.required}"}
    headers = {name: value for name, value in answer.text_headers.items() if name != "content-type"}
    return JSONResponse(body, status_code=answer.status, headers=headers)


app.add_exception_handler(InsufficientScope, explain)


class TokenRequestError(Exception):
    """A request for a token that is refused (RFC 6749 section 5.2)."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description


async def refuse_token(request: object, error: TokenRequestError) -> JSONResponse:
    """The RFC's members, and FasterAPI's `detail`."""
    described = error.description.translate({0x22: "'", 0x5C: "/"})  # the RFC allows neither " nor \ in it
    body = {"error": error.code, "error_description": described, "detail": error.description}
    return JSONResponse(body, status_code=400, headers={"Cache-Control": "no-store"})


app.add_exception_handler(TokenRequestError, refuse_token)


async def readable_form(request: Request) -> None:
    """Read the form before its fields are asked for, where FasterAPI would answer 500 to one that cannot be read."""
    try:
        await request.form()
    except ValueError as unreadable:  # no boundary, broken parts, no UTF-8
        raise TokenRequestError("invalid_request", "The form cannot be read") from unreadable


@app.get("/items", tags=["items"])
async def list_items(_: Principal = Depends(require_scope("read:items"))):
    return [{"name": "Widget"}]


@app.post("/items", status_code=201, tags=["items"])
async def create_item(_: dict = Depends(require_scope("write:items"))):
    return {"created": True}


@app.delete("/items/{item_id}", status_code=204, tags=["items"])
async def delete_item(item_id: str, _: Principal = Depends(require_scope("delete:items"))):
    return None


@app.get("/admin", tags=["admin"])
async def admin_panel(caller: Principal = Depends(require_scope("admin"))):
    return {"panel": "admin", "for": caller.subject}


@app.post("/auth/token", dependencies=[guard.public("this is where tokens come from"), Depends(readable_form)])
async def login(username: str = Form(default=""), password: str = Form(default=""), scope: str = Form(default="")):
    """A token with the scopes of the role, or with those of them that were asked for."""
    if not all(isinstance(field, str) for field in (username, password, scope)):
        raise TokenRequestError("invalid_request", "A field was sent twice")  # FasterAPI makes it a list
    user = users_db.get(username)
    if not await verify_password(user, password):
        raise HTTPException(401, "Incorrect credentials", {"WWW-Authenticate": "Bearer", "Cache-Control": "no-store"})
    allowed = catalog.roles[users_db[username].role].scopes  # read now: roles change, tokens do not
    try:
        requested = ScopeSet.parse(scope) if scope else None
        scopes = issue(catalog, requested, allowed, Ceilings(client=EVERYTHING, subject=allowed))
    except InvalidScope as bad:
        raise TokenRequestError("invalid_scope", bad.description) from bad
    return JSONResponse(
        {
            "access_token": create_access_token(username, scopes),
            "token_type": "bearer",
            "expires_in": 60 * ACCESS_TOKEN_EXPIRE_MINUTES,
            "scope": str(scopes),
            "scopes": list(scopes),
        },
        headers={"Cache-Control": "no-store"},
    )
