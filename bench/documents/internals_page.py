"""Document 3, the page "Security and OAuth2 Scopes" on FastAPI's internals: nested `Security`.

The page leaves out how the token is decoded; here PyJWT does it. Its functions are `async` here, so
that they need no thread: written with `def`, as part of the page has them, they would be slower.
"""

from typing import Annotated

import jwt
from fastapi import FastAPI, HTTPException, Security, status
from fastapi.security import OAuth2PasswordBearer, SecurityScopes

from bench.tokens import ALGORITHM, SECRET

oauth2_scheme = OAuth2PasswordBearer(tokenUrl="token")


async def get_current_user(security_scopes: SecurityScopes, token: str = Security(oauth2_scheme)):
    authenticate = f'Bearer scope="{security_scopes.scope_str}"' if security_scopes.scopes else "Bearer"
    try:
        payload = jwt.decode(token, SECRET, algorithms=[ALGORITHM])
    except jwt.InvalidTokenError:
        raise HTTPException(
            status.HTTP_401_UNAUTHORIZED, "Could not validate credentials", headers={"WWW-Authenticate": authenticate}
        ) from None
    user_scopes = payload.get("scopes", "").split()
    for scope in security_scopes.scopes:
        if scope not in user_scopes:
            raise HTTPException(
                status.HTTP_401_UNAUTHORIZED, "Not enough permissions", headers={"WWW-Authenticate": authenticate}
            )
    return {"user": payload["sub"]}


async def get_user_me(current_user: Annotated[dict, Security(get_current_user, scopes=["me"])]):
    return current_user


def make() -> FastAPI:
    app = FastAPI()

    @app.get("/profile")
    async def get_user_items(
        reader: Annotated[dict, Security(get_current_user, scopes=["users:read"])],
        user_me: Annotated[dict, Security(get_user_me, scopes=["items"])],
    ):
        return {"username": user_me["user"]}

    return app
