"""The application of the page "Security and OAuth2 Scopes" on FastAPI's internals, written on Bailiwick.

Scopes declared at several depths of a dependency tree: they add up on the way down, and one function
runs once for each set of scopes that it is asked for.

    EXAMPLE_PASSWORD=... SECRET_KEY=... uvicorn main:app
"""

import os
import secrets
import threading
import time
from contextlib import asynccontextmanager
from typing import Annotated, Any

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from fastapi import Depends, FastAPI, HTTPException, Request, Response, Security
from fastapi.security import OAuth2PasswordRequestForm, SecurityScopes

from bailiwick import Catalog, InvalidScope, Principal, Role, Scope, ScopeSet
from bailiwick.fastapi import Guard
from bailiwick.scopes import Ceilings, issue
from bailiwick.tokens import JWTVerifier, Keyring, Signer, SigningKey

catalog = Catalog(
    [
        Scope("items:read", "Read items"),
        Scope("items:delete", "Delete items"),
        Scope("items", "See your items"),
        Scope("me", "See who you are"),
    ],
    roles=[Role("customer", ["items:read", "items", "me"])],  # reads items, and does not delete them
)

ISSUER = "https://internals.example"
AUDIENCE = "https://internals.example/api"
LIFETIME = 600  # seconds
SECRET_KEY = os.environ.get("SECRET_KEY") or secrets.token_urlsafe(48)

signer = Signer(SigningKey.from_secret(SECRET_KEY))
verifier = JWTVerifier(Keyring.from_secret(SECRET_KEY), issuer=ISSUER, audience=AUDIENCE)


def token_with(scopes: ScopeSet, *, subject: str = "johndoe", lifetime: int = LIFETIME) -> str:
    now = int(time.time())
    return signer.sign(
        {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "client_id": "example",
            "iat": now,
            "exp": now + lifetime,
            "jti": secrets.token_urlsafe(16),
            "scope": str(scopes),
        }
    )


hasher = PasswordHasher()
hashing = threading.BoundedSemaphore(2)  # 64 MiB for each check: a rush of logins must not take all memory
accounts: dict[str, str] = {"": hasher.hash(secrets.token_urlsafe(16))}  # nobody's, for unknown names


@asynccontextmanager
async def lifespan(app: FastAPI):
    if "johndoe" not in accounts:
        password = os.environ.get("EXAMPLE_PASSWORD") or secrets.token_urlsafe(12)
        accounts["johndoe"] = hasher.hash(password)
        if "EXAMPLE_PASSWORD" not in os.environ:
            print(f"johndoe logs in with {password}")
    yield


guard = Guard(catalog, verifier, token_url="token")
app = FastAPI(title="Scopes in nested dependencies", lifespan=lifespan)
guard.protect(app)


@app.post("/token", dependencies=[guard.public("this is where tokens come from")])
def token(form: Annotated[OAuth2PasswordRequestForm, Depends()], response: Response) -> dict[str, Any]:
    """What was asked for, as far as customers may have it; all that they may have if nothing was."""
    response.headers["Cache-Control"] = "no-store"
    with hashing:
        try:
            hasher.verify(accounts.get(form.username, accounts[""]), form.password)
        except VerificationError as bad:
            raise HTTPException(401, "Invalid credentials", headers={"Cache-Control": "no-store"}) from bad
    allowed = catalog.roles["customer"].scopes
    try:
        requested = ScopeSet(form.scopes) if form.scopes else None
        scopes = issue(catalog, requested, allowed, Ceilings(client=allowed, subject=allowed))
    except InvalidScope as bad:
        raise HTTPException(400, bad.description) from bad
    signed = token_with(scopes, subject=form.username)
    return {"access_token": signed, "token_type": "bearer", "expires_in": LIFETIME, "scope": str(scopes)}


# -- declaring security requirements -------------------------------------------------------


@app.get("/items/")
async def read_items(caller: Annotated[Principal, Security(guard, scopes=["items:read"])]) -> dict[str, Any]:
    return {"user": caller.subject, "scopes": list(caller.scopes)}


@app.delete("/items/{item_id}")
async def delete_item(
    item_id: int, caller: Annotated[Principal, Security(guard, scopes=["items:delete"])]
) -> dict[str, Any]:
    return {"deleted": item_id, "by": caller.subject}


# -- scope inheritance in nested dependencies ----------------------------------------------


def get_current_user(security_scopes: SecurityScopes, caller: Annotated[Principal, Security(guard)]) -> dict[str, Any]:
    """The leaf: it sees what the whole chain above it requires, and the guard has checked exactly that."""
    return {"user": caller.subject, "scopes": security_scopes.scopes, "scope_str": security_scopes.scope_str}


def get_user_me(current_user: Annotated[dict[str, Any], Security(get_current_user, scopes=["me"])]) -> dict[str, Any]:
    return current_user


@app.get("/users/me")
def read_user_me(user_me: Annotated[dict[str, Any], Security(get_user_me)]) -> dict[str, Any]:
    return user_me


@app.get("/users/me/items/")
def get_user_items(user_me: Annotated[dict[str, Any], Security(get_user_me, scopes=["items"])]) -> dict[str, Any]:
    return user_me


@app.get("/users/")
def read_user(current_user: Annotated[dict[str, Any], Security(get_current_user)]) -> dict[str, Any]:
    """Any valid token: no scope is required anywhere in this chain."""
    return current_user


# -- dependency caching and scopes ---------------------------------------------------------


def note(request: Request, what: str) -> int:
    """Count within one request, so that the answer shows what ran how often."""
    counts: dict[str, int] = request.scope.setdefault("example.counts", {})
    counts[what] = counts.get(what, 0) + 1
    return counts[what]


def load_settings(request: Request) -> int:
    """Uses no scopes and declares none: its result is shared, whatever is required above it."""
    return note(request, "settings")


def load_permissions(
    request: Request,
    security_scopes: SecurityScopes,
    settings: Annotated[int, Security(load_settings)],
    caller: Annotated[Principal, Security(guard)],
) -> str:
    """Uses scopes: it runs once for each set of them."""
    return f"run {note(request, 'permissions')} for {security_scopes.scope_str}"


@app.get("/cache")
def show_cache(
    request: Request,
    reading: Annotated[str, Security(load_permissions, scopes=["items:read"])],
    deleting: Annotated[str, Security(load_permissions, scopes=["items:delete"])],
    reading_again: Annotated[str, Security(load_permissions, scopes=["items:read"])],
    both: Annotated[str, Security(load_permissions, scopes=["items:read", "items:delete"])],
    both_the_other_way: Annotated[str, Security(load_permissions, scopes=["items:delete", "items:read"])],
) -> dict[str, Any]:
    return {
        "reading": reading,
        "deleting": deleting,
        "reading_again": reading_again,
        "both": both,
        "both_the_other_way": both_the_other_way,
        "counts": request.scope["example.counts"],
    }
