"""How a verb is run: as a function in a transaction, which the driver begins and ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

__all__ = ["Transactions"]

_T = TypeVar("_T")


class Transactions(ABC):
    """What the verbs ask of a driver."""

    @abstractmethod
    async def _read(self, work: Callable[[Connection], _T]) -> _T:
        """Run a function that looks up a few rows, on one consistent state of the database."""

    @abstractmethod
    async def _scan(self, work: Callable[[Connection], _T]) -> _T:
        """Run a function that may read very many rows, on one consistent state of the database."""

    @abstractmethod
    async def _write(self, work: Callable[[Connection], _T]) -> _T:
        """Run a function in a transaction, alone among writers, and commit it to the disk."""

    @abstractmethod
    async def close(self) -> None:
        """See `Store.close`."""
