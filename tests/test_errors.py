"""The error vocabulary: three texts for three readers, and an id that stays."""

import copy
import inspect
import pickle

import pytest

import bailiwick
from bailiwick import errors
from bailiwick.errors import (
    IDS,
    BailiwickError,
    ConfigurationError,
    InsufficientScope,
    InvalidScope,
    InvalidToken,
    MissingCredentials,
    Refused,
    StoreError,
    Unavailable,
)

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, BailiwickError)]

ONE_OF_EACH = [
    BailiwickError("Something failed.", detail="the disk", id="BW500"),
    ConfigurationError("A scope is unknown.", id="BW102"),
    InvalidScope("A scope is unknown.", id="BW405"),
    MissingCredentials("No credentials were presented."),
    InvalidToken("The token has expired.", detail="exp 1, now 2", id="BW208"),
    InsufficientScope("Too few.", required="users:read users:write", detail="'alice' lacks users:write"),
    Refused("slow_down", "Ask more slowly.", status=429, detail="third time", id="BW414", retry_after=5),
    Unavailable("The keys cannot be reached.", detail="connection refused", retry_after=7),
    StoreError("The store is read-only.", id="BW502"),
]
each = pytest.mark.parametrize("error", ONE_OF_EACH, ids=lambda error: type(error).__name__)


def test_one_of_each_is_one_of_each():
    assert {type(error) for error in ONE_OF_EACH} == set(ALL)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_is_one_family_with_a_documented_id_of_its_own(kind):
    assert issubclass(kind, BailiwickError)
    assert kind.default_id in IDS
    assert kind.__name__ in errors.__all__


def test_the_names_of_the_contract_are_at_the_root():
    for name in ("BailiwickError", "ConfigurationError", "InvalidToken", "InsufficientScope", "Refused"):
        assert getattr(bailiwick, name) is getattr(errors, name)


def test_every_name_at_the_root_exists():
    assert [name for name in bailiwick.__all__ if not hasattr(bailiwick, name)] == []


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        (MissingCredentials, 401, ""),  # RFC 6750 section 3.1: no error code without credentials
        (InvalidToken, 401, "invalid_token"),
        (InsufficientScope, 403, "insufficient_scope"),
        (InvalidScope, 400, "invalid_scope"),
        (Unavailable, 503, "temporarily_unavailable"),
    ],
)
def test_each_has_the_status_and_the_word_of_its_rfc(kind, status, code):
    error = kind("Why.")
    assert (error.status, error.code) == (status, code)


def test_the_log_says_what_the_caller_is_told_unless_it_knows_more():
    assert InvalidToken("The token has expired.").detail == "The token has expired."
    assert InvalidToken("The token has expired.", detail="exp 1, now 2").detail == "exp 1, now 2"


@each
def test_the_text_of_an_error_is_the_description_and_the_id_and_never_the_detail(error):
    assert str(error) == f"{error.description} [{error.id}]"
    if error.detail != error.description:
        assert error.detail not in str(error) + repr(error)


@each
def test_an_error_survives_a_pickle_and_a_copy_with_all_that_it_says(error):
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is type(error)
        assert vars(again) == vars(error)
        assert again.args == error.args
        assert str(again) == str(error)


def test_a_bad_scope_is_a_value_error_for_those_who_catch_that():
    with pytest.raises(ValueError, match="Why"):
        raise InvalidScope("Why.")


def test_the_table_of_ids_cannot_be_changed():
    with pytest.raises(TypeError):
        IDS["BW999"] = "Mine."
