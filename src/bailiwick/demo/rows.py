"""The demo's own rows - users, posts, items - in a SQLite file beside the authority's. It knows no scopes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bailiwick.errors import StoreError

__all__ = ["Rows"]

Row = dict[str, Any]

TABLES = sa.MetaData()

users = sa.Table(
    "users",
    TABLES,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("full_name", sa.String(200), nullable=False),
    sa.Column("about", sa.String(2000), nullable=False, server_default=""),
    # The `sub` of the person's tokens; none for a row that is no login.
    sa.Column("subject", sa.String(64), unique=True),
)
posts = sa.Table(
    "posts",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("body", sa.String(20_000), nullable=False),
    sa.Column("author", sa.String(64), nullable=False),
)
items = sa.Table(
    "items",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("owner", sa.String(64), nullable=False),
)

FIRST_POSTS = [
    {"title": "Hello", "body": "A post that was here before you.", "author": "erin"},
    {"title": "On scopes", "body": "A scope says what a token may do.", "author": "erin"},
]
FIRST_ITEMS = [{"name": "Lantern", "owner": "erin"}, {"name": "Seal", "owner": "root"}]

# A page of rows; the demo does not page further.
PAGE = 100


# Of this file's tables, kept in SQLite's user_version; 0 is a file without any.
VERSION = 1


class Rows:
    """The demo's tables.

    Args:
        path: the SQLite file; it is made, with a few rows in it, when it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine: AsyncEngine = create_async_engine(f"sqlite+aiosqlite:///{path}", hide_parameters=True)

    async def check(self) -> None:
        """Insist that a file which is there can be used; write nothing.

        Raises:
            StoreError: it cannot be read or written, or a newer version of the demo made it.
        """
        if not self.path.exists():
            return
        with self._trouble():
            async with self._engine.connect() as db:
                await db.exec_driver_sql("BEGIN IMMEDIATE")  # refused where the file is read-only
                version = (await db.exec_driver_sql("PRAGMA user_version")).scalar_one()
                await db.rollback()
        if version > VERSION:
            raise StoreError(
                f"The file {str(self.path)!r} was written by a newer version of Bailiwick. "
                "Use that version, or choose another folder with --data.",
                id="BW503",
            )

    async def open(self, people: Mapping[str, tuple[str, str]]) -> None:
        """Make what is not there yet.

        Args:
            people: by name: the full name, and the `sub` of their tokens.

        Raises:
            StoreError: the file cannot be written.
        """
        with self._trouble():
            async with self._engine.begin() as db:
                if (await db.exec_driver_sql("PRAGMA user_version")).scalar_one() == 0:
                    await db.run_sync(TABLES.create_all)
                    first = [{"id": name, "full_name": full, "subject": None} for name, (full, _) in people.items()]
                    await db.execute(sa.insert(users), first)
                    await db.execute(sa.insert(posts), FIRST_POSTS)
                    await db.execute(sa.insert(items), FIRST_ITEMS)
                    await db.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
                # The authority's file may be newer than this one, and know the people by other ids.
                for name, (_, subject) in people.items():
                    other = users.c.subject.is_distinct_from(subject)
                    await db.execute(sa.update(users).where(users.c.id == name, other).values(subject=subject))

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.DBAPIError, OSError) as bad:
            reason = getattr(bad, "orig", None) or bad
            raise StoreError(
                f"The file {str(self.path)!r} cannot be used: {reason}. Check its permissions and the space on its "
                "disk, or choose another folder with --data.",
                id="BW502",
            ) from bad

    async def close(self) -> None:
        """Close the file."""
        await self._engine.dispose()

    async def _all(self, table: sa.Table) -> list[Row]:
        async with self._engine.connect() as db:
            found = await db.execute(sa.select(table).order_by(table.c.id).limit(PAGE))
            return [dict(row) for row in found.mappings()]

    async def _add(self, table: sa.Table, row: Row) -> Row:
        async with self._engine.begin() as db:
            added = await db.execute(sa.insert(table).values(row).returning(*table.c))
            return dict(added.mappings().one())

    async def _remove(self, table: sa.Table, key: str | int) -> bool:
        async with self._engine.begin() as db:
            gone = await db.execute(sa.delete(table).where(table.c.id == key).returning(table.c.id))
            return gone.first() is not None

    async def users(self) -> list[Row]:
        """The users, by id."""
        return await self._all(users)

    async def user_of(self, subject: str) -> Row | None:
        """The user whose tokens have that `sub`, or None."""
        async with self._engine.connect() as db:
            found = (await db.execute(sa.select(users).where(users.c.subject == subject))).mappings().first()
            return dict(found) if found else None

    async def add_user(self, user_id: str, full_name: str) -> Row | None:
        """Add a user; None if the id is taken."""
        try:
            return await self._add(users, {"id": user_id, "full_name": full_name, "subject": None})
        except sa.exc.IntegrityError:
            return None

    async def change_user(self, subject: str, changes: Row) -> Row | None:
        """Change columns of the user whose tokens have that `sub`; None if there is none."""
        if changes:
            async with self._engine.begin() as db:
                await db.execute(sa.update(users).where(users.c.subject == subject).values(changes))
        return await self.user_of(subject)

    async def remove_user(self, user_id: str) -> bool:
        """Remove a user; False if there was none."""
        return await self._remove(users, user_id)

    async def posts(self) -> list[Row]:
        """The posts, oldest first."""
        return await self._all(posts)

    async def add_post(self, title: str, body: str, author: str) -> Row:
        """Add a post."""
        return await self._add(posts, {"title": title, "body": body, "author": author})

    async def remove_post(self, post_id: int) -> bool:
        """Remove a post; False if there was none."""
        return await self._remove(posts, post_id)

    async def items(self) -> list[Row]:
        """The items, oldest first."""
        return await self._all(items)

    async def add_item(self, name: str, owner: str) -> Row:
        """Add an item."""
        return await self._add(items, {"name": name, "owner": owner})

    async def remove_item(self, item_id: int) -> bool:
        """Remove an item; False if there was none."""
        return await self._remove(items, item_id)
