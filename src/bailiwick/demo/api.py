"""The demo's routes: what each needs stands beside it, and nothing else decides."""

from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, HTTPException, Path, Security
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import RedirectResponse

from bailiwick.fastapi import Guard
from bailiwick.scopes import Principal, any_of

from .docs import add_docs
from .domain import DOCS_CLIENT
from .rows import Rows

# Annotations here are evaluated where they stand (no `from __future__ import annotations`): FastAPI
# could not resolve a guard that is a local name once the annotation is only text.

__all__ = ["build_api"]


class NewUser(BaseModel):
    """A user to add."""

    model_config = ConfigDict(extra="forbid")
    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$", examples=["bob"])]
    full_name: Annotated[str, Field(min_length=1, max_length=200, examples=["Bob Builder"])]


class ProfileChange(BaseModel):
    """What one may change about oneself."""

    model_config = ConfigDict(extra="forbid")
    full_name: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    about: Annotated[str | None, Field(max_length=2000)] = None


class NewPost(BaseModel):
    """A post to write."""

    model_config = ConfigDict(extra="forbid")
    title: Annotated[str, Field(min_length=1, max_length=200, examples=["Hello"])]
    body: Annotated[str, Field(max_length=20_000)] = ""


class NewItem(BaseModel):
    """An item to add."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(min_length=1, max_length=200, examples=["Lantern"])]


RowId = Annotated[int, Path(ge=1, le=2**63 - 1)]  # SQLite's integers end there

Json = dict[str, Any]


def build_api(guard: Guard, rows: Rows) -> FastAPI:
    """The demo API, without its authority.

    Args:
        guard: decides every route.
        rows: the demo's tables, open.
    """
    api = FastAPI(
        title="Bailiwick demo",
        summary="Users, posts and items, each route guarded by a scope.",
        docs_url=None,  # ours is served below, from this machine
        redoc_url=None,
    )
    add_docs(api, guard, DOCS_CLIENT)
    api.include_router(_user_routes(guard, rows))
    api.include_router(_post_routes(guard, rows))
    api.include_router(_item_routes(guard, rows))
    api.include_router(_other_routes(guard, rows))
    return api


def _user_routes(guard: Guard, rows: Rows) -> APIRouter:
    router = APIRouter(tags=["users"])

    @router.get("/profile")
    async def read_profile(caller: Annotated[Principal, Security(guard, scopes=["users:read"])]) -> Json:
        """Who am I, and what may this token do?"""
        return {**_found(await rows.user_of(caller.subject)), "scopes": list(caller.scopes)}

    @router.patch("/profile")
    async def change_profile(
        change: ProfileChange, caller: Annotated[Principal, Security(guard, scopes=["users:write"])]
    ) -> Json:
        """Change my own row."""
        return _found(await rows.change_user(caller.subject, change.model_dump(exclude_none=True)))

    @router.get("/users", dependencies=[Security(guard, scopes=["users:read"])])
    async def list_users() -> list[Json]:
        """Everybody."""
        return await rows.users()

    @router.post("/users", status_code=201, dependencies=[Security(guard, scopes=["users:write"])])
    async def add_user(new: NewUser) -> Json:
        """Add a row. It is no login: people who log in are kept by the authority."""
        added = await rows.add_user(new.id, new.full_name)
        if added is None:
            raise HTTPException(409, f"There is a user {new.id!r} already.")
        return added

    @router.delete("/users/{id}", status_code=204, dependencies=[guard.requires(any_of("users:delete", "admin:*"))])
    async def delete_user(id: str) -> None:
        """Remove a row: either scope is enough."""
        if not await rows.remove_user(id):
            raise HTTPException(404, "There is no such user.")

    return router


def _post_routes(guard: Guard, rows: Rows) -> APIRouter:
    router = APIRouter(tags=["posts"])

    @router.get("/posts", dependencies=[Security(guard, scopes=["posts:read"])])
    async def list_posts() -> list[Json]:
        """All posts."""
        return await rows.posts()

    @router.post("/posts", status_code=201)
    async def write_post(new: NewPost, caller: Annotated[Principal, Security(guard, scopes=["posts:write"])]) -> Json:
        """Write a post under my name."""
        return await rows.add_post(new.title, new.body, author=await _name(rows, caller))

    @router.delete("/posts/{id}", status_code=204, dependencies=[guard.requires("posts:delete")])
    async def delete_post(id: RowId) -> None:
        """Remove a post."""
        if not await rows.remove_post(id):
            raise HTTPException(404, "There is no such post.")

    return router


def _item_routes(guard: Guard, rows: Rows) -> APIRouter:
    router = APIRouter(tags=["items"])

    @router.get("/items", dependencies=[Security(guard, scopes=["items:read"])])
    async def list_items() -> list[Json]:
        """All items."""
        return await rows.items()

    @router.post("/items", status_code=201)
    async def add_item(new: NewItem, caller: Annotated[Principal, Security(guard, scopes=["items:write"])]) -> Json:
        """Add an item of mine."""
        return await rows.add_item(new.name, owner=await _name(rows, caller))

    @router.delete("/items/{id}", status_code=204, dependencies=[guard.requires("items:delete")])
    async def delete_item(id: RowId) -> None:
        """Remove an item."""
        if not await rows.remove_item(id):
            raise HTTPException(404, "There is no such item.")

    return router


def _other_routes(guard: Guard, rows: Rows) -> APIRouter:
    router = APIRouter(tags=["service"])

    @router.get("/admin")
    async def admin(caller: Annotated[Principal, Security(guard, scopes=["admin:*"])]) -> Json:
        """Only the superuser scope opens this."""
        return {"hello": await _name(rows, caller), "scopes": list(caller.scopes)}

    @router.get("/health", dependencies=[guard.public("liveness probe")])
    async def health() -> Json:
        """Whether the process answers."""
        return {"status": "ok"}

    @router.get("/", include_in_schema=False, dependencies=[guard.public("shows the way to the docs")])
    async def front_door() -> RedirectResponse:
        return RedirectResponse("/docs", status_code=303)

    return router


def _found(row: Json | None) -> Json:
    if row is None:
        raise HTTPException(404, "The API has no user of this name; a client that acts for itself has no profile.")
    return row


async def _name(rows: Rows, caller: Principal) -> str:
    """How the API calls the caller: the name of its user, or the client that acts for itself."""
    user = await rows.user_of(caller.subject)
    return user["id"] if user else caller.subject
