"""Answers what a guard refuses in FasterAPI: exactly, or by the application's own exception handlers."""

from copy import copy
from typing import Any

from bailiwick.errors import BailiwickError
from bailiwick.frameworks.fasterapi.compat import HTTPException, answer_to
from bailiwick.tokens.bearer import Answer

__all__ = ["FinishedResponse", "Refusal", "Refusals", "sent"]


class Refusal(HTTPException):  # type: ignore[misc]  # FasterAPI ships no types
    """Carries a refusal as FasterAPI's own exception, with the exact challenge in its headers.

    Attributes:
        error: what was refused and why.
    """

    def __init__(self, error: BailiwickError, answer: Answer, detail: str) -> None:
        headers = {
            "-".join(part.capitalize() for part in name.split("-")).replace("Www-", "WWW-"): value
            for name, value in answer.text_headers.items()
            if name != "content-type"
        }
        super().__init__(status_code=answer.status, detail=detail, headers=headers)
        self.error = error


class FinishedResponse:
    """Sends a finished answer, in the form in which FasterAPI takes responses."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    async def to_asgi(self, send: Any) -> None:
        """Send it."""
        # A list of its own: a middleware adds to the one that it sees.
        await send({"type": "http.response.start", "status": self.status, "headers": [*self.headers]})
        await send({"type": "http.response.body", "body": self.body})


def sent(answer: Answer) -> FinishedResponse:
    """Make a response of FasterAPI of an answer of the error contract."""
    return FinishedResponse(answer.status, list(answer.headers), answer.body)


class Refusals:
    """Answers the refusals of one application's guard.

    A handler that the application registered for Bailiwick's errors or for FasterAPI's `HTTPException`
    is asked; otherwise the answer is the exact one of the error contract.
    """

    def __init__(self, guard: Any, app: Any) -> None:
        self._guard = guard
        self._app = app
        self.handler = self.answer  # one object, to be known again

    def make(self, error: BailiwickError) -> Any:
        """The answer to a refusal of the gate, as a response of FasterAPI.

        Raises:
            BailiwickError: the application has a handler of its own for it.
            HTTPException: the application has a handler for that.
        """
        if self._is_exact(error):
            self._guard.note(error)
            return sent(self._guard.refusals.answer(error))
        # FasterAPI asks the application's handlers; ours, if it is still there, asks the one for HTTPException.
        # A shared exception would gather tracebacks, and all that hangs on them, for as long as it lives.
        raise copy(error)

    def _is_exact(self, error: BailiwickError) -> bool:
        """Whether nobody but us has a say in the answer."""
        handlers = self._app.exception_handlers
        if len(handlers) == 1:  # nearly always, and then it is ours
            return handlers.get(BailiwickError) is self.handler
        asked = next((handlers[kind] for kind in type(error).__mro__ if kind in handlers), None)
        return asked is self.handler and HTTPException not in handlers

    async def answer(self, request: Any, error: BailiwickError) -> FinishedResponse:
        """The exception handler for Bailiwick's errors, wherever in the application they were raised."""
        refusal = self._guard.as_http(error)
        if HTTPException in self._app.exception_handlers:
            status, body, headers = await answer_to(self._app, request, refusal)
            return FinishedResponse(status, headers, body)
        return sent(self._guard.challenge.answer(error))
