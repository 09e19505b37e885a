"""Document 2, FasterAPI's documentation page "OAuth2 Scopes": a closure, a header, a loop. PyJWT decodes."""

import jwt
from FasterAPI import Depends, Faster, Header, HTTPException

from bench.tokens import ALGORITHM, SECRET


def decode_access_token(token: str) -> dict | None:
    try:
        return jwt.decode(token, SECRET, algorithms=[ALGORITHM])
    except jwt.InvalidTokenError:
        return None


def require_scope(*required_scopes: str):
    async def _check(authorization: str | None = Header(default=None)):
        exc = HTTPException(status_code=401, detail="Not authenticated", headers={"WWW-Authenticate": "Bearer"})
        if not authorization or not authorization.startswith("Bearer "):
            raise exc
        payload = decode_access_token(authorization.removeprefix("Bearer "))
        if payload is None:
            raise exc
        token_scopes: list[str] = payload.get("scopes", [])
        for scope in required_scopes:
            if scope not in token_scopes:
                raise HTTPException(
                    status_code=403,
                    detail=f"Insufficient scope. Required: {scope}",
                    headers={"WWW-Authenticate": f'Bearer scope="{scope}"'},
                )
        return payload

    return _check


def make() -> Faster:
    app = Faster()

    @app.get("/profile")
    async def list_items(_: dict = Depends(require_scope("read:items"))):  # noqa: B008 - as the page has it
        return {"username": "alice"}

    return app
