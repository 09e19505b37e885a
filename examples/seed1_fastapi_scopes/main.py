"""The application of the tutorial "Securing API Routes with FastAPI Scopes", written on Bailiwick.

Profiles, users, login by role and wildcards. One process issues and verifies its tokens (HS256 with a
secret that never leaves it); as soon as a second one verifies them, use `bailiwick.server` instead.

    EXAMPLE_PASSWORD=... SECRET_KEY=... uvicorn main:app
"""

import os
import secrets
import threading
import time
from contextlib import asynccontextmanager
from typing import Annotated

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from fastapi import Depends, FastAPI, HTTPException, Response, Security
from fastapi.security import OAuth2PasswordRequestForm
from pydantic import BaseModel, Field

from bailiwick import Catalog, InvalidScope, InvalidToken, Principal, Role, Scope, ScopeSet, all_of, any_of
from bailiwick.fastapi import Guard
from bailiwick.scopes import Ceilings, issue
from bailiwick.tokens import JWTVerifier, Keyring, Signer, SigningKey

# -- which permissions exist, and which role holds them ------------------------------------

catalog = Catalog(
    [
        Scope("users:read", "Read user data"),
        Scope("users:write", "Create and update users"),
        Scope("users:delete", "Delete users"),
        Scope("posts:read", "Read posts"),
        Scope("posts:write", "Create posts"),
        Scope("admin:*", "All that an administrator may do"),
    ],
    roles=[
        Role("user", ["users:read", "posts:read"]),
        Role("admin", ["users:read", "users:write", "users:delete", "posts:read", "posts:write", "admin:*"]),
    ],
    superuser="admin:*",
)

# -- tokens --------------------------------------------------------------------------------

ISSUER = "https://tutorial.example"
AUDIENCE = "https://tutorial.example/api"
ACCESS_TOKEN_EXPIRE_MINUTES = 10
SECRET_KEY = os.environ.get("SECRET_KEY") or secrets.token_urlsafe(48)

signer = Signer(SigningKey.from_secret(SECRET_KEY))
revoked: set[str] = set()  # the blacklist of token ids; short lives keep it short


def refuse_revoked(caller: Principal) -> None:
    if caller.token_id in revoked:
        raise InvalidToken("The token was revoked.", id="BW213")


verifier = JWTVerifier(
    Keyring.from_secret(SECRET_KEY),
    issuer=ISSUER,
    audience=AUDIENCE,
    scope_claim="scopes",  # this claim, because the tutorial's tokens carry it; RFC 9068 says `scope`
    leeway=0,  # one process, one clock
    checks=[refuse_revoked],
)


def create_access_token(username: str, scopes: ScopeSet, *, lifetime: float = 60 * ACCESS_TOKEN_EXPIRE_MINUTES) -> str:
    """Sign a token for a person, with the scopes as one space-separated text."""
    now = int(time.time())
    return signer.sign(
        {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": username,
            "client_id": "login",
            "iat": now,
            "exp": int(now + lifetime),
            "jti": secrets.token_urlsafe(16),
            "scopes": str(scopes),
        }
    )


# -- people --------------------------------------------------------------------------------

hasher = PasswordHasher()
hashing = threading.BoundedSemaphore(2)  # 64 MiB for each check: a rush of logins must not take all memory
nobody = hasher.hash(secrets.token_urlsafe(16))
users_db: dict[str, dict[str, str]] = {}


def add_user(username: str, password: str, role: str) -> None:
    users_db[username] = {"hashed_password": hasher.hash(password), "role": catalog.roles[role].name}


def verify_password(username: str, password: str) -> bool:
    """Whether the password is right; it takes as long where there is no such user."""
    user = users_db.get(username)
    with hashing:
        try:
            hasher.verify(user["hashed_password"] if user else nobody, password)
        except VerificationError:
            return False
    return user is not None


def log_in(username: str, password: str, requested: ScopeSet | None) -> "TokenResponse":
    """Issue a token: what was asked for, as far as the role allows it; all that it allows if nothing was."""
    if not verify_password(username, password):
        raise HTTPException(401, "Invalid credentials", headers={"Cache-Control": "no-store"})
    allowed = catalog.roles[users_db[username]["role"]].scopes  # read now: roles change, tokens do not
    try:
        scopes = issue(catalog, requested, allowed, Ceilings(client=allowed, subject=allowed))
    except InvalidScope as bad:
        raise HTTPException(400, bad.description) from bad
    return TokenResponse(
        access_token=create_access_token(username, scopes),
        expires_in=60 * ACCESS_TOKEN_EXPIRE_MINUTES,
        scope=str(scopes),
    )


class LoginRequest(BaseModel):
    username: str = Field(max_length=100)
    password: str = Field(max_length=1000)
    scopes: list[str] | None = Field(None, max_length=100, description="Fewer scopes than the role has")


class TokenResponse(BaseModel):
    access_token: str
    token_type: str = "bearer"
    expires_in: int
    scope: str


class UserResponse(BaseModel):
    username: str


class Message(BaseModel):
    message: str


class NewPost(BaseModel):
    title: str = Field(max_length=200)


class Post(NewPost):
    author: str


def asked(scopes: list[str] | None) -> ScopeSet | None:
    try:
        return ScopeSet(scopes) if scopes is not None else None
    except InvalidScope as bad:
        raise HTTPException(400, bad.description) from bad


# -- the API -------------------------------------------------------------------------------


@asynccontextmanager
async def lifespan(app: FastAPI):
    if not users_db:
        password = os.environ.get("EXAMPLE_PASSWORD") or secrets.token_urlsafe(12)
        add_user("alice", password, "user")
        add_user("root", password, "admin")
        if "EXAMPLE_PASSWORD" not in os.environ:
            print(f"alice (user) and root (admin) log in with {password}")
    yield


guard = Guard(catalog, verifier, token_url="token")
app = FastAPI(title="Securing API routes with scopes", lifespan=lifespan)
guard.protect(app)


@app.get("/profile")
async def get_profile(caller: Annotated[Principal, Security(guard, scopes=["users:read"])]) -> UserResponse:
    """Read your profile. Requires `users:read`."""
    return UserResponse(username=caller.subject)


@app.post("/profile")
async def update_profile(caller: Annotated[Principal, Security(guard, scopes=["users:write"])]) -> Message:
    """Update your profile. Requires `users:write`."""
    return Message(message=f"Profile updated for {caller.subject}")


@app.delete("/users/{user_id}", dependencies=[guard.requires(any_of("users:delete", "admin:*"))])
async def delete_user(user_id: str) -> Message:
    """Delete a user. Requires `users:delete` or `admin:*`: either is enough."""
    return Message(message=f"User {user_id} deleted")


@app.post("/my-posts")
async def write_own_post(post: NewPost, caller: Annotated[Principal, guard.requires("posts:write")]) -> Post:
    """Here `posts:write` means: write your own posts."""
    return Post(title=post.title, author=caller.subject)


@app.post("/admin/posts", dependencies=[guard.requires(all_of("posts:write", "admin:*"))])
async def write_any_post(post: Post) -> Post:
    """Here `posts:write`, together with `admin:*`, means: write any post."""
    return post


@app.post("/login", dependencies=[guard.public("this is where tokens come from")])
def login(credentials: LoginRequest, response: Response) -> TokenResponse:
    """Log in with JSON: a token with the scopes of your role, or with fewer."""
    response.headers["Cache-Control"] = "no-store"
    return log_in(credentials.username, credentials.password, asked(credentials.scopes))


@app.post("/token", dependencies=[guard.public("this is where tokens come from")])
def token(form: Annotated[OAuth2PasswordRequestForm, Depends()], response: Response) -> TokenResponse:
    """The same as a form, for the Authorize button of `/docs`."""
    response.headers["Cache-Control"] = "no-store"
    return log_in(form.username, form.password, asked(form.scopes or None))


@app.post("/logout", status_code=204)
async def logout(caller: Annotated[Principal, guard.requires()]) -> None:
    """Put the token on the blacklist; any valid token may be given back."""
    if caller.token_id is not None:
        revoked.add(caller.token_id)
