"""The log of a served command: which lines, in which form, and how many at most."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final, Literal

from .ending import plain

__all__ = ["Format", "Level", "Logging", "logged"]

Level = Literal["error", "warning", "info", "debug"]
Format = Literal["text", "json"]

# Ours, and the server's. Others have their say from "warning" on: some of them log headers, with what is in them.
OURS: Final = ("bailiwick", "uvicorn")
# Lines of one kind that may come at once before `lines` a second are all.
BURST: Final = 500
# Letters of one line, and of one traceback; a path alone may have 64 KiB.
MAX_LINE: Final = 1_000
MAX_TRACE: Final = 8_000


@dataclass(frozen=True, slots=True)
class Logging:
    """What is logged, and how.

    Args:
        level: the least that is logged of Bailiwick and of the server.
        format: lines for people, or JSON documents for programs, one a line.
        lines: of one logger and level, lines a second that are written for long; 0 sets no bound.
    """

    level: Level = "info"
    format: Format = "text"
    lines: int = 10


@contextmanager
def logged(how: Logging) -> Iterator[None]:
    """Log to standard error, and to nowhere else, as long as this lasts."""
    handler = _BoundedHandler(how.lines)
    handler.setFormatter(_AsJSON() if how.format == "json" else _AsText())
    root = logging.getLogger()
    ours = [logging.getLogger(name) for name in OURS]
    before = [one.level for one in ours]
    root.addHandler(handler)
    for one in ours:
        one.setLevel(how.level.upper())
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
        for one, level in zip(ours, before, strict=True):
            one.setLevel(level)


@dataclass
class _Kind:
    """The lines of one logger and level."""

    left: float
    at: float
    dropped: int = 0


@dataclass
class _Bound:
    """How many lines of each kind are written, so that nobody fills the disk by being refused."""

    lines: int
    kinds: dict[tuple[str, int], _Kind] = field(default_factory=dict)

    def admits(self, record: logging.LogRecord, now: float) -> bool:
        if not self.lines:
            return True
        kind = self.kinds.setdefault((record.name, record.levelno), _Kind(BURST, now))
        kind.left, kind.at = min(BURST, kind.left + (now - kind.at) * self.lines), now
        if kind.left < 1:
            kind.dropped += 1
            return False
        kind.left -= 1
        return True

    def dropped(self, name: str, level: int) -> int:
        """How many lines of a kind were left out since this was asked last."""
        kind = self.kinds.get((name, level))
        if kind is None:
            return 0
        count, kind.dropped = kind.dropped, 0
        return count


class _BoundedHandler(logging.StreamHandler[Any]):
    """Writes to standard error, and says how many lines it left out with the next one of their kind, or at the end."""

    def __init__(self, lines: int) -> None:
        super().__init__(sys.stderr)
        self._bound = _Bound(lines)

    def emit(self, record: logging.LogRecord) -> None:
        if self._bound.admits(record, monotonic()):
            self._tell(record.name, record.levelno)
            super().emit(record)

    def close(self) -> None:
        for name, level in list(self._bound.kinds):
            self._tell(name, level)
        super().close()

    def _tell(self, name: str, level: int) -> None:
        if count := self._bound.dropped(name, level):
            super().emit(logging.LogRecord(name, level, "", 0, "%d lines like these were left out", (count,), None))


class _AsText(logging.Formatter):
    """A line for each record: the time, the level, the logger, the message. Nobody's text can begin a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_moment(record)} {record.levelname} {record.name} {_message(record)}"
        # A traceback ends with what somebody may have sent.
        return "\n  | ".join([line, *(plain(one) for one in _trace(self, record).split("\n") if one)])


class _AsJSON(logging.Formatter):
    """A JSON document for each record, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "at": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            **getattr(record, "refusal", {}),
        }
        if trace := _trace(self, record):
            document["trace"] = trace
        return json.dumps(document)


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message(record: logging.LogRecord) -> str:
    # Line ends too: a caller's text must not look like a line of ours.
    said = plain(record.getMessage().replace("\n", "\\n"))
    return said if len(said) <= MAX_LINE else f"{said[:MAX_LINE]}..."


def _trace(form: logging.Formatter, record: logging.LogRecord) -> str:
    # The end says what happened.
    return form.formatException(record.exc_info)[-MAX_TRACE:] if record.exc_info else ""
