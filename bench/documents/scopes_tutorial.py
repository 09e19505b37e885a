"""Document 1, the tutorial "Securing API Routes with FastAPI Scopes": HTTPBearer, python-jose, a loop."""

from fastapi import Depends, FastAPI, HTTPException, Security, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from jose import JWTError, jwt

from bench.tokens import ALGORITHM, SECRET

bearer_scheme = HTTPBearer()


def decode_token(token: str) -> dict | None:
    try:
        return jwt.decode(token, SECRET, algorithms=[ALGORITHM])
    except JWTError:
        return None


async def get_current_user(
    security_scopes: SecurityScopes,
    credentials: HTTPAuthorizationCredentials = Depends(bearer_scheme),  # noqa: B008 - as the page has it
) -> dict:
    payload = decode_token(credentials.credentials)
    if payload is None:
        raise HTTPException(status_code=status.HTTP_401_UNAUTHORIZED, detail="Invalid or expired token")
    token_scopes = payload.get("scopes", "").split()
    for scope in security_scopes.scopes:
        if scope not in token_scopes:
            raise HTTPException(
                status_code=status.HTTP_403_FORBIDDEN, detail=f"Not enough permissions. Required scope: {scope}"
            )
    return {"username": payload.get("sub"), "scopes": token_scopes}


def make() -> FastAPI:
    app = FastAPI()

    @app.get("/profile")
    async def get_profile(current_user: dict = Security(get_current_user, scopes=["users:read"])):  # noqa: B008 - as the page has it
        return {"username": current_user["username"]}

    return app
