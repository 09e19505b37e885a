"""The answers that a verifier gave a moment ago, bounded in number and in bytes."""

from __future__ import annotations

from bailiwick.scopes import Principal

__all__ = ["AnswerCache"]


class AnswerCache:
    """Keeps verified callers by the digest of what they presented; the oldest go first.

    Reading needs no lock; whoever changes it holds one.

    Args:
        most: how many answers are kept.
        most_text: how much text of tokens they may stand for together, in bytes. One that alone has more is not kept.

    Attributes:
        answers: by digest: the caller, until when the answer holds, and the length of the token in bytes.
    """

    __slots__ = ("_most", "_most_text", "_text", "answers")

    def __init__(self, most: int, most_text: int) -> None:
        self.answers: dict[bytes, tuple[Principal, float, int]] = {}
        self._most = most
        self._most_text = most_text
        self._text = 0

    def __len__(self) -> int:
        return len(self.answers)

    def keep(self, digest: bytes, principal: Principal, until: float, size: int) -> None:
        """Keep an answer as the newest one.

        Args:
            digest: of what was presented.
            principal: who calls.
            until: until when the answer holds, by the verifier's clock.
            size: the length of the token in bytes.
        """
        self.drop(digest)
        if size > self._most_text:
            return
        self.answers[digest] = (principal, until, size)
        self._text += size
        while len(self.answers) > self._most or self._text > self._most_text:
            self.drop(next(iter(self.answers)))

    def drop(self, digest: bytes) -> None:
        """Forget one answer, if it is there."""
        known = self.answers.pop(digest, None)
        if known is not None:
            self._text -= known[2]

    def clear(self) -> None:
        """Forget all answers."""
        self.answers.clear()
        self._text = 0
