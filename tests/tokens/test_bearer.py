"""How bearer tokens arrive and refusals leave: RFC 6750, character by character."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.errors import (
    BailiwickError,
    ConfigurationError,
    InsufficientScope,
    InvalidToken,
    MissingCredentials,
    Refused,
    Unavailable,
)
from bailiwick.tokens.bearer import Challenge, StepUpNeeded, bearer_token


def header(*values):
    return [(b"host", b"api.example"), *((b"authorization", value) for value in values)]


@pytest.mark.parametrize("value", [b"Bearer abc.def-_~+/=", b"bearer abc.def-_~+/=", b"BEARER  abc.def-_~+/="])
def test_the_scheme_is_case_insensitive_and_the_token_is_taken_as_it_is(value):
    assert bearer_token(header(value)) == "abc.def-_~+/="


def test_no_header_and_another_scheme_are_missing_credentials():
    for headers in (header(), header(b"Basic YTpi"), header(b""), header(b"Token x"), header(b"Bearerx y")):
        with pytest.raises(MissingCredentials):
            bearer_token(headers)


def test_two_headers_are_an_invalid_request_even_if_they_are_equal():
    with pytest.raises(Refused) as refused:
        bearer_token(header(b"Bearer a", b"Bearer a"))
    assert (refused.value.status, refused.value.code, refused.value.id) == (400, "invalid_request", "BW201")


def test_a_token_in_the_query_as_well_is_an_invalid_request():
    with pytest.raises(Refused):
        bearer_token(header(b"Bearer a"), b"x=1&access_token=b")
    assert bearer_token(header(b"Bearer a"), b"no_access_token=b") == "a"


def test_a_token_in_the_query_alone_is_no_credential():
    with pytest.raises(MissingCredentials):
        bearer_token(header(), b"access_token=b")


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer",
        b"Bearer ",
        b"Bearer    ",
        b"Bearer a b",
        b"Bearer \xc3\xa9",
        b'Bearer a"b',
        b"Bearer a,b",
        b"Bearer a\tb",
    ],
)
def test_empty_and_malformed_tokens_are_invalid_tokens(value):
    with pytest.raises(InvalidToken):
        bearer_token(header(value))


@given(
    st.lists(st.tuples(st.sampled_from([b"authorization", b"accept"]), st.binary(max_size=40)), max_size=4), st.binary()
)
def test_whatever_arrives_is_a_token_or_a_refusal(headers, query):
    try:
        token = bearer_token(headers, query)
    except BailiwickError as refusal:
        assert refusal.status in {400, 401}
    else:
        assert re.fullmatch(r"[A-Za-z0-9._~+/=-]+", token)


def test_no_credentials_are_challenged_without_an_error_code():
    answer = Challenge("api", "https://api.example/m").answer(MissingCredentials("Authentication is required."))

    assert answer.status == 401
    assert answer.text_headers["www-authenticate"] == 'Bearer realm="api", resource_metadata="https://api.example/m"'
    assert "error" not in json.loads(answer.body)


def test_too_few_scopes_name_all_that_is_needed():
    answer = Challenge().answer(InsufficientScope("Too few.", required="a b"))

    assert answer.status == 403
    assert answer.text_headers["www-authenticate"] == (
        'Bearer realm="api", error="insufficient_scope", error_description="Too few.", scope="a b"'
    )
    assert json.loads(answer.body) == {
        "detail": "Too few.",
        "error": "insufficient_scope",
        "scope": "a b",
        "id": "BW300",
    }


def test_scopes_can_be_kept_out_of_answers():
    answer = Challenge(disclose_scopes=False).answer(InsufficientScope("Too few.", required="secret:scope"))

    assert b"secret:scope" not in answer.body
    assert "secret:scope" not in answer.text_headers["www-authenticate"]


def test_an_unreachable_provider_is_503_with_retry_after_and_no_challenge():
    answer = Challenge().answer(Unavailable("The issuer cannot be reached.", retry_after=7))

    assert answer.status == 503
    assert answer.text_headers["retry-after"] == "7"
    assert "www-authenticate" not in answer.text_headers


def test_a_fault_of_ours_tells_the_caller_nothing():
    answer = Challenge().answer(ConfigurationError("the scope 'x' is not in the catalog"))

    assert answer.status == 500
    assert b"catalog" not in answer.body


def test_step_up_names_what_would_do():
    answer = Challenge().answer(StepUpNeeded("Stronger.", acr=("gold",), max_age=60))

    assert 'acr_values="gold", max_age="60"' in answer.text_headers["www-authenticate"]


@given(st.text(), st.text(), st.text())
def test_nothing_breaks_out_of_a_quoted_string(realm, description, scopes):
    answer = Challenge(realm).answer(InsufficientScope(description, required=scopes))

    value = answer.text_headers["www-authenticate"]
    assert re.fullmatch(r'Bearer( ?,?[a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*",?)+', value)
    assert "\r" not in value
    assert "\n" not in value
