"""The demo's /docs: Swagger UI from this machine, where its files are installed, so that it works without a network."""

from importlib.resources import files
from importlib.util import find_spec
from typing import Any, Final

from fastapi import FastAPI, HTTPException
from fastapi.openapi.docs import get_swagger_ui_html, get_swagger_ui_oauth2_redirect_html
from starlette.responses import HTMLResponse, Response

from bailiwick.fastapi import Guard

__all__ = ["REDIRECT_PATH", "add_docs"]

# Where Swagger UI lets the authority send people back to.
REDIRECT_PATH: Final = "/docs/oauth2-redirect"

# The package that brings the files along; only its files are used. Without it they come from FastAPI's CDN.
PACKAGE: Final = "fastapi_offline"
FILES: Final = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon.png": "image/png",
}


def add_docs(api: FastAPI, guard: Guard, client: str) -> None:
    """Serve the documentation.

    Args:
        api: made with `docs_url=None`.
        guard: lets everybody see it.
        client: the public client that the Authorize button logs in through; it has no secret, so none is asked for.
    """
    from_here = find_spec(PACKAGE) is not None
    local: dict[str, Any] = {
        "swagger_js_url": "/docs/files/swagger-ui-bundle.js",
        "swagger_css_url": "/docs/files/swagger-ui.css",
        "swagger_favicon_url": "/docs/files/favicon.png",
    }
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=api.title,
        oauth2_redirect_url=REDIRECT_PATH,
        init_oauth={"clientId": client, "usePkceWithAuthorizationCodeGrant": True},
        **(local if from_here else {}),
    )
    public = [guard.public("API documentation")]

    @api.get("/docs", include_in_schema=False, dependencies=public)
    async def docs() -> HTMLResponse:
        return page

    @api.get(REDIRECT_PATH, include_in_schema=False, dependencies=public)
    async def back_from_the_authority() -> HTMLResponse:
        return get_swagger_ui_oauth2_redirect_html()

    if not from_here:
        return
    folder = files(PACKAGE) / "static"

    @api.get("/docs/files/{name}", include_in_schema=False, dependencies=public)
    async def docs_file(name: str) -> Response:
        if name not in FILES:
            raise HTTPException(404, "There is no such file.")
        return Response((folder / name).read_bytes(), headers={"content-type": FILES[name]})
