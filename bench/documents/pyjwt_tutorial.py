"""FastAPI's own tutorial, "OAuth2 scopes", on PyJWT: a Pydantic model, a dict of users, an active user."""

from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException, Security, status
from fastapi.security import OAuth2PasswordBearer, SecurityScopes
from pydantic import BaseModel, ValidationError

from bench.tokens import ALGORITHM, SECRET

oauth2_scheme = OAuth2PasswordBearer(
    tokenUrl="token", scopes={"me": "Read information about the current user.", "items": "Read items."}
)
USERS = {"alice": {"username": "alice", "email": "alice@example.com", "hashed_password": "-", "disabled": False}}


class TokenData(BaseModel):
    username: str | None = None
    scopes: list[str] = []


class User(BaseModel):
    username: str
    email: str | None = None
    disabled: bool | None = None


class UserInDB(User):
    hashed_password: str


def get_user(db, username: str):
    return UserInDB(**db[username]) if username in db else None


async def get_current_user(security_scopes: SecurityScopes, token: Annotated[str, Depends(oauth2_scheme)]):
    authenticate = f'Bearer scope="{security_scopes.scope_str}"' if security_scopes.scopes else "Bearer"
    refused = HTTPException(
        status.HTTP_401_UNAUTHORIZED, "Could not validate credentials", headers={"WWW-Authenticate": authenticate}
    )
    try:
        payload = jwt.decode(token, SECRET, algorithms=[ALGORITHM])
        username = payload.get("sub")
        if username is None:
            raise refused
        token_data = TokenData(scopes=payload.get("scopes", "").split(), username=username)
    except (jwt.InvalidTokenError, ValidationError):
        raise refused from None
    user = get_user(USERS, username=token_data.username)
    if user is None:
        raise refused
    for scope in security_scopes.scopes:
        if scope not in token_data.scopes:
            raise HTTPException(
                status.HTTP_401_UNAUTHORIZED, "Not enough permissions", headers={"WWW-Authenticate": authenticate}
            )
    return user


async def get_current_active_user(current_user: Annotated[User, Security(get_current_user, scopes=["me"])]):
    if current_user.disabled:
        raise HTTPException(status_code=400, detail="Inactive user")
    return current_user


def make() -> FastAPI:
    app = FastAPI()

    @app.get("/profile")
    async def read_own_items(current_user: Annotated[User, Security(get_current_active_user, scopes=["items"])]):
        return {"username": current_user.username}

    return app
