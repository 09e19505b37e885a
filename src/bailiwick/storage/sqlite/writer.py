"""The one writer of a process: transactions one after the other, and those that wait together in one commit."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from .connection import connect, raw_of
from .reasons import LostError, explain

__all__ = ["Writer"]

_T = TypeVar("_T")

log = logging.getLogger("bailiwick.storage")

# Transactions that share one commit, at most: bounds how long the first of them waits for the last.
BATCH: Final = 64


class Writer:
    """The one thread of a process that writes into a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._ended = False
        self._engine = create_engine(
            "sqlite://", creator=lambda: connect(path), poolclass=NullPool, hide_parameters=True
        )
        self._thread = threading.Thread(target=self._run, name="bailiwick-write", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Connection], _T]) -> Future[_T]:
        """Queue a function; its future is settled when its transaction is on the disk, or was undone."""
        job = _Job(work)
        self._jobs.put(job)
        return cast("Future[_T]", job.future)

    def close(self) -> None:
        """Finish what is queued, then end."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while not self._ended:
            job = self._jobs.get()
            if job is None:
                return
            try:
                self._work_from(job)
            except Exception as bad:  # whatever it is, nobody may wait for ever
                log.exception("The writer of %s failed and starts anew", self._path)
                job.give_up(explain(self._path, bad))

    def _work_from(self, job: _Job | None) -> None:
        """Open a connection and serve, beginning with this job, until the end."""
        with self._engine.connect() as db:
            while job is not None:
                if not self._commit_together(db, job):
                    # What is left of the transaction ends with the connection. Perhaps it was the connection that
                    # failed, so the next job gets a new one.
                    return
                job = None if self._ended else self._jobs.get()
            self._ended = True

    def _commit_together(self, db: Connection, first: _Job) -> bool:
        """Run a job, and those that wait behind it, in one transaction, each undone alone if it fails.

        Returns:
            Whether the transaction went through.
        """
        done: list[_Job] = []
        failure: BaseException | None = None
        try:
            raw_of(db).execute("BEGIN IMMEDIATE")
            for job in self._waiting(first):
                # Whoever stopped waiting before their turn came is not served at all.
                if job.future.set_running_or_notify_cancel():
                    done.append(job)
                    _run_one(db, job)
                    if isinstance(job.error, DBAPIError):
                        job.error = explain(self._path, job.error)
            raw_of(db).execute("COMMIT")
            db.commit()
        except Exception as bad:  # whatever it is, those in `done` were promised an answer
            failure = explain(self._path, bad)
            if not isinstance(bad, DBAPIError | sqlite3.Error | LostError):
                log.exception("A transaction of %s failed", self._path)
            if not done and first.future.set_running_or_notify_cancel():
                done.append(first)
        for job in done:
            job.settle(failure)
        return failure is None

    def _waiting(self, first: _Job) -> Iterator[_Job]:
        yield first
        for _ in range(BATCH - 1):
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is None:
                self._ended = True
                return
            yield job


class _Job:
    """A function that waits for its transaction, and for whom its result is meant."""

    __slots__ = ("error", "future", "result", "work")

    def __init__(self, work: Callable[[Connection], Any]) -> None:
        self.work = work
        self.future: Future[Any] = Future()
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self, error: BaseException | None = None) -> None:
        error = error or self.error
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(self.result)

    def give_up(self, error: BaseException) -> None:
        """Tell whoever still waits, if anybody does, and was told nothing yet."""
        if self.future.running() or (not self.future.done() and self.future.set_running_or_notify_cancel()):
            self.future.set_exception(error)


def _run_one(db: Connection, job: _Job) -> None:
    raw = raw_of(db)
    raw.execute("SAVEPOINT job")
    try:
        job.result = job.work(db)
    except Exception as bad:  # it belongs to whoever awaits the job, and is raised there
        if not raw.in_transaction:
            # A full disk, say. What the jobs before this one did is gone with it, so none may be told
            # that it succeeded.
            raise LostError from bad
        raw.execute("ROLLBACK TO job")
        job.error = bad
    raw.execute("RELEASE job")
