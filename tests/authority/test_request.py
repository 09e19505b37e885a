"""A form is read once, strictly; past that, nobody reads forms."""

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.authority.records import GrantType, Origin
from bailiwick.authority.request import (
    ClientAsked,
    CodeAsked,
    DeviceAsked,
    Form,
    IntrospectionRequest,
    PasswordAsked,
    Presented,
    RefreshAsked,
    RevocationRequest,
    TokenRequest,
    read_form,
    wire_text,
)
from bailiwick.authority.request.form import MAX_FIELDS, MAX_VALUE
from bailiwick.errors import Refused
from bailiwick.scopes import ScopeSet


def refusal(work):
    with pytest.raises(Refused) as caught:
        work()
    assert all(c in " !" or "#" <= c <= "[" or "]" <= c <= "~" for c in caught.value.description)
    return caught.value.code, caught.value.id


def basic(text):
    raw = text if isinstance(text, bytes) else text.encode()
    return ["Basic " + base64.b64encode(raw).decode()]


PASSWORD = {"grant_type": "password", "client_id": "app", "username": "alice", "password": "secret"}


# -- bodies ------------------------------------------------------------------------------------


def test_a_body_is_names_and_values_in_their_order():
    assert read_form(b"a=1&b=%C3%A5+x&a=2&c&=d&&e=f=g") == [
        ("a", "1"), ("b", "\u00e5 x"), ("a", "2"), ("c", ""), ("", "d"), ("e", "f=g"),
    ]  # fmt: skip
    assert read_form(b"") == []


def test_latin_1_is_never_taken_for_utf_8():
    assert refusal(lambda: read_form(b"username=%E5")) == ("invalid_request", "BW400")
    assert refusal(lambda: read_form(b"username=\xe5")) == ("invalid_request", "BW400")


def test_a_body_of_very_many_fields_is_refused():
    assert len(read_form(b"&".join(b"a=1" for _ in range(MAX_FIELDS)))) == MAX_FIELDS
    assert refusal(lambda: read_form(b"&".join(b"a=1" for _ in range(MAX_FIELDS + 1)))) == ("invalid_request", "BW400")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_form_or_refused(body):
    with contextlib.suppress(Refused):
        TokenRequest.read(read_form(body))


# -- parameters ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["grant_type", "client_id", "client_secret", "scope", "username", "password", "foo"])
@pytest.mark.parametrize("again", ["same", "other", ""])
def test_a_repeated_parameter_is_refused_even_an_unknown_one(name, again):
    pairs = [*PASSWORD.items(), (name, "same"), (name, again)]
    assert refusal(lambda: TokenRequest.read(pairs)) == ("invalid_request", "BW400")


def test_an_unknown_parameter_is_ignored():
    assert TokenRequest.read([*PASSWORD.items(), ("foo", "bar")]) == TokenRequest.read(PASSWORD.items())


@pytest.mark.parametrize("name", list(PASSWORD))
def test_an_empty_parameter_was_not_sent(name):
    code, _ = refusal(lambda: TokenRequest.read((PASSWORD | {name: ""}).items()))
    assert code == ("invalid_client" if name == "client_id" else "invalid_request")
    assert TokenRequest.read((PASSWORD | {"scope": ""}).items()).scope is None


def test_a_nul_or_a_giant_is_refused():
    for pair in (("x", "a\0b"), ("x\0", "a"), ("x", "a" * (MAX_VALUE + 1)), ("x" * 200, "a")):
        assert refusal(lambda pair=pair: Form([pair])) == ("invalid_request", "BW400")
    assert refusal(lambda: Form((f"n{n}", "") for n in range(MAX_FIELDS + 1))) == ("invalid_request", "BW400")


def test_a_scope_is_read_by_the_grammar():
    assert TokenRequest.read((PASSWORD | {"scope": "b a b"}).items()).scope == ScopeSet(["a", "b"])
    for bad in ("a  b", " a", "a ", "a\tb", "a\nb", "a\u00a0b", 'a"b', "a\\b", "\u00e5", "\x7f"):
        code = refusal(lambda bad=bad: TokenRequest.read((PASSWORD | {"scope": bad}).items()))
        assert code == ("invalid_scope", "BW405"), bad


def test_a_token_is_for_one_resource_though_it_may_be_said_twice():
    pairs = [*PASSWORD.items(), ("resource", "https://a"), ("resource", "https://a"), ("resource", "")]
    assert TokenRequest.read(pairs).resource == "https://a"
    assert TokenRequest.read(PASSWORD.items()).resource is None
    assert refusal(lambda: TokenRequest.read([*pairs, ("resource", "https://b")])) == ("invalid_target", "BW410")


@pytest.mark.parametrize("named", ["foo", "PASSWORD", "implicit", "urn:unknown", "password "])
def test_an_unknown_grant_type_is_not_supported(named):
    code = refusal(lambda: TokenRequest.read((PASSWORD | {"grant_type": named}).items()))
    assert code == ("unsupported_grant_type", "BW404")


@pytest.mark.parametrize(
    ("grant", "form", "asked"),
    [
        ("password", {"username": "a", "password": "b"}, PasswordAsked("a", "b")),
        ("client_credentials", {}, ClientAsked()),
        ("refresh_token", {"refresh_token": "t"}, RefreshAsked("t")),
        ("authorization_code", {"code": "c", "code_verifier": "v"}, CodeAsked("c", "v", None)),
        ("urn:ietf:params:oauth:grant-type:device_code", {"device_code": "d"}, DeviceAsked("d")),
    ],
)
def test_each_grant_reads_what_it_needs(grant, form, asked):
    full = {"grant_type": grant, "client_id": "app"} | form
    read = TokenRequest.read(full.items(), origin=Origin("192.0.2.1"))
    assert (read.grant, read.asked, read.origin.address) == (GrantType(grant), asked, "192.0.2.1")
    for name in form:
        if name != "code_verifier":
            short = {other: value for other, value in full.items() if other != name}
            assert refusal(lambda short=short: TokenRequest.read(short.items())) == ("invalid_request", "BW400")


@pytest.mark.parametrize("request_type", [RevocationRequest, IntrospectionRequest])
def test_revocation_and_introspection_need_a_token_and_a_client(request_type):
    assert request_type.read([("token", "t"), ("client_id", "app"), ("token_type_hint", "foo")]).token == "t"
    assert refusal(lambda: request_type.read([("client_id", "app")])) == ("invalid_request", "BW400")
    assert refusal(lambda: request_type.read([("token", "t")])) == ("invalid_client", "BW401")


def test_a_request_shows_no_secret_when_it_is_printed():
    form = {"client_secret": "s3cret", "token": "s3cret", "refresh_token": "s3cret", "code": "s3cret"}
    form |= {"username": "alice", "password": "s3cret", "device_code": "s3cret", "code_verifier": "s3cret"}
    for grant in GrantType:
        if grant is not GrantType.TOKEN_EXCHANGE:
            read = TokenRequest.read([("grant_type", grant.value), ("client_id", "app"), *form.items()])
            assert "s3cret" not in repr(read)
    for request_type in (RevocationRequest, IntrospectionRequest):
        assert "s3cret" not in repr(request_type.read([("client_id", "app"), *form.items()]))


@given(st.text())
def test_an_error_description_holds_only_what_the_rfc_allows(text):
    assert all(c in " !" or "#" <= c <= "[" or "]" <= c <= "~" for c in wire_text(text))


# -- who is asking ---------------------------------------------------------------------------------


def presented(form, *authorization):
    return Presented.read(Form(form.items()), list(authorization))


def test_a_client_names_itself_in_the_body_or_in_the_header():
    assert presented({"client_id": "app"}) == Presented("app")
    assert presented({"client_id": "app", "client_secret": "s"}) == Presented("app", "s")
    assert presented({}, *basic("app:s")) == Presented("app", "s", basic=True)
    assert presented({"client_id": "app"}, *basic("app:s")) == Presented("app", "s", basic=True)


def test_a_public_client_may_use_the_header_with_an_empty_secret():
    assert presented({}, *basic("app:")) == Presented("app", None, basic=True)


def test_basic_credentials_are_form_encoded_first():
    read = presented({}, *basic("my%20app:a%3Ab%25+%C3%A5"))
    assert (read.client, read.secret) == ("my app", "a:b% \u00e5")
    assert presented({}, *basic("app:a:b")).secret == "a:b"


def test_two_ways_at_once_are_refused():
    both = {"client_id": "app", "client_secret": "s"}
    assert refusal(lambda: presented(both, *basic("app:s"))) == ("invalid_request", "BW400")
    assert refusal(lambda: presented({}, *basic("app:s"), *basic("app:s"))) == ("invalid_request", "BW400")
    assert refusal(lambda: presented({"client_id": "other"}, *basic("app:s"))) == ("invalid_request", "BW400")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!!",
        "Basic YXBw",  # "app", no colon
        "Basic OnM=",  # ":s", nobody
        "Basic YXBwOnM",  # padding missing
        "Bearer abc",
        "Digest username=app",
        "Basic " + base64.b64encode(b"app:%E5").decode(),
        "Basic " + base64.b64encode(b"app:\xe5").decode(),
        "Basic " + "QUFB" * 6_000,
    ],
)
def test_a_header_that_cannot_be_read_is_a_failed_authentication(header):
    assert refusal(lambda: presented({}, header)) == ("invalid_client", "BW401")


def test_the_schemes_case_does_not_matter():
    assert presented({}, basic("app:s")[0].replace("Basic", "bAsIc")).client == "app"


def test_whoever_does_not_say_who_they_are_is_not_authenticated():
    with pytest.raises(Refused) as caught:
        presented({})
    assert (caught.value.code, caught.value.status) == ("invalid_client", 401)
