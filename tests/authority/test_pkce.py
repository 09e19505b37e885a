"""Who redeems a code is who asked for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.authority.pkce import challenge_of, check_challenge, check_verifier
from bailiwick.errors import Refused

UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
verifiers = st.text(UNRESERVED, min_size=43, max_size=128)


def code_of(call, *args):
    with pytest.raises(Refused) as caught:
        call(*args)
    return caught.value.code


def test_the_rfcs_own_example_fits():
    # RFC 7636 appendix B.
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    check_verifier(verifier, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")


@given(verifiers)
def test_every_verifier_of_the_grammar_fits_its_own_challenge(verifier):
    check_verifier(verifier, check_challenge(challenge_of(verifier), "S256"))


@given(verifiers, verifiers)
def test_no_other_verifier_fits(one, other):
    if one != other:
        assert code_of(check_verifier, other, challenge_of(one)) == "invalid_grant"


@pytest.mark.parametrize(
    "verifier", ["a" * 42, "a" * 129, "a" * 42 + "=", "a" * 42 + " ", "a" * 42 + "+", "ä" * 43, "a" * 43 + "\n"]
)
def test_r7636_01_a_verifier_outside_the_grammar_is_refused(verifier):
    assert code_of(check_verifier, verifier, challenge_of("a" * 43)) == "invalid_request"


@pytest.mark.parametrize(
    "challenge", ["", "a" * 42, "a" * 44, "a" * 42 + "=", "a" * 42 + "+", "a" * 42 + "B", challenge_of("a" * 43) + "="]
)
def test_r7636_02_what_is_no_sha256_in_base64url_is_no_challenge(challenge):
    assert code_of(check_challenge, challenge, "S256") == "invalid_request"


@pytest.mark.parametrize("method", [None, "plain", "s256", "S512", "S256 ", ""])
def test_r7636_07_r7636_11_only_s256_is_a_method(method):
    assert code_of(check_challenge, challenge_of("a" * 43), method) == "invalid_request"


def test_cve_2024_22258_nobody_asks_without_a_challenge():
    assert code_of(check_challenge, None, "S256") == "invalid_request"
    assert code_of(check_challenge, None, None) == "invalid_request"


def test_cve_2023_48228_a_challenge_makes_the_verifier_mandatory():
    assert code_of(check_verifier, None, challenge_of("a" * 43)) == "invalid_grant"


def test_cve_2025_4144_a_verifier_without_a_challenge_is_a_downgrade_and_refused():
    assert code_of(check_verifier, "a" * 43, "") == "invalid_grant"
    assert code_of(check_verifier, None, "") == "invalid_grant"
