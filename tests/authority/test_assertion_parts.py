"""An assertion is taken apart once, and how much of it is read before its signature is bounded."""

import pytest

from bailiwick.authority.request import ASSERTION_TYPE, Assertion, Form, Presented
from bailiwick.authority.request import presented as presented_module
from bailiwick.authority.request.presented import MAX_CLAIMS
from bailiwick.errors import InvalidToken, Refused
from bailiwick.tokens import Signer, SigningKey


def signed(**claims):
    return Signer(SigningKey.generate("ES256")).sign({"sub": "signed", **claims}, typ="jwt")


def read(assertion, **more):
    fields = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion, **more}
    return Presented.read(Form(fields.items()))


def test_each_part_of_an_assertion_is_read_once_however_often_it_is_asked_for(monkeypatch):
    read_parts = []
    for name in ("read", "read_claims"):
        real = getattr(presented_module, name)
        monkeypatch.setattr(
            presented_module,
            name,
            lambda *args, real=real, name=name, **more: read_parts.append(name) or real(*args, **more),
        )
    shown = read(signed())
    assert shown.client == "signed"
    for _ in range(3):
        assert shown.assertion.envelope.alg == "ES256"
        assert shown.assertion.claims["sub"] == "signed"
    assert read_parts == ["read", "read_claims"]


def test_where_the_client_is_named_beside_it_nothing_of_an_assertion_is_read_before_the_client_is_known(monkeypatch):
    monkeypatch.setattr(presented_module, "read", lambda text: pytest.fail(f"{text} was read"))
    assert read("no token at all", client_id="signed").client == "signed"


def test_claims_that_are_longer_than_an_assertion_needs_are_not_read():
    long = signed(jti="x" * MAX_CLAIMS)
    with pytest.raises(InvalidToken) as refused:
        assert Assertion(long).claims
    assert (refused.value.id, refused.value.description) == ("BW202", "The token's claims are too long.")
    with pytest.raises(Refused) as unnamed:
        read(long)
    assert (unnamed.value.status, unnamed.value.id) == (401, "BW401")


def test_an_assertion_shows_nothing_of_itself():
    assert repr(Assertion("secret")) == "Assertion()"
