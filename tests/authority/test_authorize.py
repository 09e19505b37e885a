"""The authorization endpoint: who may be sent where, and what a person is asked."""

import json
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.authority import Registration, RegistrationRequest, Settings
from bailiwick.authority.authorization_request import AuthorizationRequest, ResponseMode
from bailiwick.authority.consent import Decision, LoggedIn
from bailiwick.authority.outcome import NeedsConsent, NeedsLogin, Redirect, ShowError
from bailiwick.authority.records import Origin, Resource
from bailiwick.errors import Refused
from bailiwick.scopes import ScopeSet

pytestmark = pytest.mark.anyio


def told(outcome):
    assert isinstance(outcome, Redirect), outcome
    return dict(outcome.params)


# -- errors that are shown and never sent anywhere ---------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        {"client_id": None},
        {"client_id": ""},
        {"client_id": "nobody"},
        {"client_id": "sp\0a"},
        {"client_id": "x" * 5000},
        {"redirect_uri": "https://evil.example/cb"},
        {"redirect_uri": "https://spa.example.com/cb/"},
        {"redirect_uri": "https://spa.example.com/cb#x"},
        {"redirect_uri": "javascript:alert(1)"},
    ],
)
async def test_r6749_19_a_wrong_client_or_redirect_is_shown_and_nobody_is_sent_there(flows, asked):
    for prompt in (None, "none"):
        for session in (None, "alice"):
            outcome = await flows.authorize("spa", session, prompt=prompt, **asked)
            assert isinstance(outcome, ShowError)
            assert outcome.id == "BW418"
            assert outcome.status == 400


@pytest.mark.parametrize("name", ["cve_2025_4143", "cve_2026_54072", "cve_2019_3778"])
async def test_cve_2025_4143_cve_2026_54072_cve_2019_3778_no_error_goes_to_an_unregistered_uri(flows, name):
    bad = {"response_type": "token", "scope": "nonsense", "code_challenge": None, "prompt": "none"}
    outcome = await flows.authorize("spa", None, redirect_uri=f"https://{name.replace('_', '-')}.example/cb", **bad)
    assert isinstance(outcome, ShowError)


async def test_the_client_of_another_redirect_uri_does_not_get_it(flows):
    assert isinstance(await flows.authorize("spa", redirect_uri=flows.redirects["site"]), ShowError)


async def test_a_disabled_client_is_unknown(flows):
    await flows.admin.disable_client("spa")
    assert isinstance(await flows.authorize("spa"), ShowError)


async def test_r6749_17_with_several_registered_the_request_names_one(flows):
    client = await flows.store.client("spa")
    two = replace(client, redirects=(*client.redirects, "https://spa.example.com/other"))
    assert await flows.store.change(two, (await flows.lines())[0])
    assert isinstance(await flows.authorize("spa", redirect_uri=None), ShowError)
    assert isinstance(await flows.authorize("spa", redirect_uri="https://spa.example.com/other"), NeedsConsent)


async def test_the_only_registered_uri_need_not_be_named(flows):
    outcome = await flows.authorize("spa", redirect_uri=None)
    assert outcome.request.redirect == flows.redirects["spa"]
    assert not outcome.request.redirect_given


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
async def test_r6749_11_of_two_clients_or_redirects_neither_is_meant(flows, name):
    pairs = flows.query()
    for value in (dict(pairs)[name], "https://evil.example/"):
        assert isinstance(await flows.authorize(pairs=[*pairs, (name, value)]), ShowError)


# -- errors that go back -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"response_type": "token code"}, "unsupported_response_type"),
        ({"response_type": "CODE"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"request": "eyJ"}, "request_not_supported"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"scope": "users:reed"}, "invalid_scope"),
        ({"scope": 'a"b'}, "invalid_scope"),
        ({"scope": "users:read\tposts:read"}, "invalid_scope"),
        ({"resource": "https://unknown.example.com"}, "invalid_target"),
        ({"resource": "https://files.example.com", "scope": "users:read"}, "invalid_scope"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "1.5"}, "invalid_request"),
        ({"max_age": "\u0661"}, "invalid_request"),
        ({"max_age": "9" * 40}, "invalid_request"),
        ({"nonce": "n" * 5000}, "invalid_request"),
    ],
)
async def test_r6749_12_r6749_40_what_is_wrong_otherwise_goes_back_with_state_and_issuer(flows, asked, error):
    answer = told(await flows.authorize("spa", None, **asked))
    assert answer["error"] == error
    assert answer["state"] == "a state"
    assert answer["iss"] == flows.issuer
    assert "code" not in answer
    # R6749-42: only %x20-21 / %x23-5B / %x5D-7E.
    assert all(" " <= c <= "~" and c not in '"\\' for c in answer["error_description"])


@pytest.mark.parametrize("name", ["scope", "state", "code_challenge", "response_type", "prompt"])
async def test_r6749_11_another_parameter_that_is_repeated_is_an_error_that_goes_back(flows, name):
    pairs = [*flows.query(prompt="login"), (name, "users:read")]
    answer = told(await flows.authorize(pairs=pairs))
    assert answer["error"] == "invalid_request"
    assert ("state" in answer) == (name != "state")


async def test_a_client_that_may_not_use_codes_is_told_so(flows):
    client = await flows.store.client("spa")
    await flows.store.change(replace(client, grants=frozenset()), (await flows.lines())[0])
    assert told(await flows.authorize())["error"] == "unauthorized_client"


async def test_r6749_10_unknown_parameters_are_ignored(flows):
    outcome = await flows.authorize("spa", display="touch", acr_values="x", ui_locales="sv", whatever="1")
    assert isinstance(outcome, NeedsConsent)


async def test_a_client_that_registered_itself_cannot_use_this_server_to_send_people_on(make_flows):
    """RFC 9700 section 4.11.2."""
    settings = Settings(
        make_flows.issuer,
        make_flows.api,
        (Resource(make_flows.api), Resource(make_flows.files)),
        registration=Registration(ScopeSet(["users:read", "posts:read"])),
    )
    flows = await make_flows(settings=settings).furnish()
    body = {"redirect_uris": ["https://phish.example/x"], "token_endpoint_auth_method": "none"}
    made = await flows.authority.registration.answer(RegistrationRequest.read(json.dumps(body).encode()), now=flows.now)
    where = {"redirect_uri": "https://phish.example/x"}
    for asked in ({"scope": "nonsense"}, {"prompt": "none"}, {"response_type": "token"}):
        assert isinstance(await flows.authorize(made.client.id, None, **where, **asked), ShowError)
    asked = await flows.authorize(made.client.id, **where)
    # Somebody has looked at the page by then, and decided.
    assert told(await flows.decide(asked, approved=False))["error"] == "access_denied"


# -- the way back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["x", "a b", "ä\u2713", "a=b&c=d#e?f", "%41%0d%0a", '"><script>', "s" * 2048])
async def test_r6749_33_r6749_38_the_state_comes_back_as_it_was(flows, state):
    outcome = await flows.decide(await flows.authorize(state=state))
    location = urlsplit(outcome.location)
    assert parse_qs(location.query)["state"] == [state]
    assert "\r" not in outcome.location
    assert "\n" not in outcome.location
    assert location.fragment == ""


async def test_no_state_comes_back_where_none_was_sent(flows):
    assert "state" not in told(await flows.decide(await flows.authorize(state=None)))
    assert "state" not in told(await flows.authorize(state=None, scope="nonsense"))


@pytest.mark.parametrize("state", ["s" * 2049, "a\nb", "a\x00b", "\x7f"])
async def test_a_state_that_is_no_state_is_refused_and_not_sent_back(flows, state):
    answer = told(await flows.authorize(state=state))
    assert answer["error"] == "invalid_request"
    assert "state" not in answer


async def test_r9207_01_the_issuer_stands_in_success_and_error_and_equals_the_metadata(flows):
    good = told(await flows.decide(await flows.authorize()))
    bad = told(await flows.decide(await flows.authorize(prompt="consent"), approved=False))
    assert good["iss"] == bad["iss"] == (await flows.authority.metadata())["issuer"]
    assert (await flows.authority.metadata())["authorization_response_iss_parameter_supported"] is True


async def test_the_redirect_uris_own_query_is_kept(flows):
    client = await flows.store.client("spa")
    uri = "https://spa.example.com/cb?tenant=a"
    await flows.store.change(replace(client, redirects=(uri,)), (await flows.lines())[0])
    outcome = await flows.decide(await flows.authorize(redirect_uri=uri))
    assert parse_qs(urlsplit(outcome.location).query)["tenant"] == ["a"]
    assert outcome.location.startswith(uri + "&code=")


async def test_form_post_is_a_mode(flows):
    outcome = await flows.decide(await flows.authorize(response_mode="form_post"))
    assert outcome.mode is ResponseMode.FORM_POST
    assert (await flows.authorize(response_mode="form_post", scope="nonsense")).mode is ResponseMode.FORM_POST


async def test_a_code_shows_in_no_repr(flows):
    outcome = await flows.decide(await flows.authorize())
    assert told(outcome)["code"] not in repr(outcome)
    assert told(outcome)["code"].startswith("bwc_")


# -- who is in front -------------------------------------------------------------------------------------------------


async def test_nobody_in_front_has_to_log_in_first(flows):
    outcome = await flows.authorize("spa", None, login_hint="alice")
    assert isinstance(outcome, NeedsLogin)
    assert outcome.request.hint == "alice"
    assert not outcome.fresh
    resumed = await flows.authority.authorization.resume(
        outcome.request, flows.session(), origin=Origin(), now=flows.now
    )
    assert isinstance(resumed, NeedsConsent)
    assert resumed.account.name == "alice"


@pytest.mark.parametrize("hint", ["h" * 300, "a\nb"])
async def test_a_hint_that_is_no_name_is_left_out(flows, hint):
    assert (await flows.authorize("spa", None, login_hint=hint)).request.hint == ""


async def test_prompt_login_wants_a_login_that_is_later_than_the_request(flows):
    before = flows.session()
    flows.now += 5
    outcome = await flows.authorize("spa", before, prompt="login")
    assert isinstance(outcome, NeedsLogin)
    assert outcome.fresh
    flows.now += 5
    at = flows.authority.authorization
    assert isinstance(await at.resume(outcome.request, before, origin=Origin(), now=flows.now), NeedsLogin)
    assert isinstance(await at.resume(outcome.request, flows.session(), origin=Origin(), now=flows.now), NeedsConsent)


async def test_max_age_wants_a_login_that_is_recent_enough(flows):
    assert isinstance(await flows.authorize("spa", flows.session(ago=61), max_age="60"), NeedsLogin)
    assert isinstance(await flows.authorize("spa", flows.session(ago=60), max_age="60"), NeedsConsent)
    outcome = await flows.authorize("spa", flows.session(ago=1), max_age="0")
    assert isinstance(outcome, NeedsLogin)
    flows.now += 9
    # A login that this request asked for is good enough, or 0 would ask for ever.
    fresh = LoggedIn(flows.people["alice"].id, flows.now - 3)
    resumed = await flows.authority.authorization.resume(outcome.request, fresh, origin=Origin(), now=flows.now)
    assert isinstance(resumed, NeedsConsent)


async def test_prompt_none_asks_nobody(flows):
    assert told(await flows.authorize("spa", None, prompt="none"))["error"] == "login_required"
    assert told(await flows.authorize("spa", prompt="none"))["error"] == "consent_required"
    assert told(await flows.authorize("native", prompt="none"))["error"] == "interaction_required"
    old = flows.session(ago=100)
    assert told(await flows.authorize("spa", old, prompt="none", max_age="10"))["error"] == "login_required"
    await flows.decide(await flows.authorize())
    assert "code" in told(await flows.authorize(prompt="none"))


async def test_somebody_disabled_since_is_not_logged_in(flows):
    asked = await flows.authorize()
    await flows.admin.disable_account("alice")
    assert isinstance(await flows.decide(asked), NeedsLogin)
    assert told(await flows.authorize(prompt="none"))["error"] == "login_required"


# -- what is asked ---------------------------------------------------------------------------------------------------


async def test_each_scope_is_asked_with_the_catalogs_sentence(flows):
    outcome = await flows.authorize()
    asked = [(one.scope, one.sentence, one.required, one.before) for one in outcome.agenda.questions]
    assert asked == [
        ("users:read", "See people", False, False),
        ("posts:read", "See posts", False, False),
    ]
    assert outcome.client.id == "spa"
    assert outcome.resource.identifier == flows.api


async def test_nobody_is_asked_for_what_they_do_not_have_themselves(flows):
    outcome = await flows.authorize(scope="users:read users:delete admin:*")
    assert outcome.agenda.asked == ScopeSet(["users:read"])
    assert told(await flows.authorize(scope="users:delete"))["error"] == "invalid_scope"


async def test_only_what_is_new_is_asked(flows):
    await flows.decide(await flows.authorize(scope="users:read"))
    again = await flows.authorize(scope="users:read")
    assert "code" in told(again)
    more = await flows.authorize(scope="users:read posts:read")
    assert more.agenda.asked == ScopeSet(["posts:read"])
    assert more.agenda.settled == ScopeSet(["users:read"])
    tokens = await flows.redeem(told(await flows.decide(more))["code"])
    assert tokens.scope == ScopeSet(["users:read", "posts:read"])


async def test_what_was_not_ticked_is_not_granted_and_asked_again(flows):
    asked = await flows.authorize()
    tokens = await flows.redeem(told(await flows.decide(asked, ["posts:read"]))["code"])
    assert tokens.scope == ScopeSet(["posts:read"])
    assert (await flows.authorize()).agenda.asked == ScopeSet(["users:read"])


async def test_ticking_what_nobody_asked_about_grants_nothing(flows):
    asked = await flows.authorize(scope="users:read")
    code = told(await flows.decide(asked, ["users:read", "posts:read", "admin:*"]))["code"]
    assert (await flows.redeem(code)).scope == ScopeSet(["users:read"])


async def test_r6749_39_to_deny_or_to_tick_nothing_is_access_denied(flows):
    asked = await flows.authorize()
    for outcome in (await flows.decide(asked, approved=False), await flows.decide(asked, [])):
        answer = told(outcome)
        assert answer["error"] == "access_denied"
        assert answer["state"] == "a state"
    assert await flows.store.authorization_of(flows.people["alice"].id, "spa", flows.api) is None


async def test_a_denial_stands_in_the_journal_with_who_to_whom_what_and_from_where(flows):
    asked = await flows.authorize()
    for answer in ({"approved": False}, {"chosen": []}, {"chosen": ["users:delete"]}):
        assert told(await flows.decide(asked, **answer))["error"] == "access_denied"
    lines, alice = await flows.lines("consent.denied"), flows.people["alice"].id
    assert [(one.actor, one.subject, one.client, one.detail) for one in lines] == [
        (alice, alice, "spa", "users:read posts:read")
    ] * 3
    assert {one.origin.address for one in lines} == {"192.0.2.7"}
    assert not await flows.lines("authorization.granted")
    assert not await flows.lines("code.issued")


async def test_a_required_scope_cannot_be_left_out(flows):
    client = await flows.store.client("spa")
    await flows.store.change(replace(client, required=ScopeSet(["users:read"])), (await flows.lines())[0])
    asked = await flows.authorize()
    assert [one.required for one in asked.agenda.questions] == [True, False]
    assert told(await flows.decide(asked, ["posts:read"]))["error"] == "access_denied"
    assert "code" in told(await flows.decide(asked, ["users:read"]))


async def test_prompt_consent_asks_again_and_the_code_holds_what_is_ticked_now(flows):
    await flows.decide(await flows.authorize())
    asked = await flows.authorize(prompt="consent")
    assert [one.before for one in asked.agenda.questions] == [True, True]
    tokens = await flows.redeem(told(await flows.decide(asked, ["users:read"]))["code"])
    assert tokens.scope == ScopeSet(["users:read"])


async def test_a_first_party_client_skips_the_question_and_the_row_is_written(flows):
    tokens = await flows.redeem(told(await flows.authorize("own"))["code"], "own")
    assert tokens.scope == ScopeSet(["users:read", "posts:read"])
    written = await flows.store.authorization_of(flows.people["alice"].id, "own", flows.api)
    assert {row.via for row in written.rows} == {"first party"}
    assert isinstance(await flows.authorize("own", prompt="consent"), NeedsConsent)


async def test_what_a_person_took_back_from_a_first_party_client_is_asked_again(flows):
    await flows.authorize("own")
    alice = flows.people["alice"].id
    (kept,) = await flows.authority.consents.of(alice)
    await flows.authority.consents.withdraw(alice, kept.id, "posts:read", origin=Origin(), now=flows.now)
    asked = await flows.authorize("own")
    assert asked.agenda.asked == ScopeSet(["posts:read"])
    assert asked.agenda.settled == ScopeSet(["users:read"])
    assert told(await flows.authorize("own", prompt="none"))["error"] == "consent_required"


async def test_cve_2023_34246_a_public_client_that_anybody_can_be_asks_each_time(flows):
    await flows.decide(await flows.authorize("native"))
    again = await flows.authorize("native")
    assert isinstance(again, NeedsConsent)
    assert all(one.before for one in again.agenda.questions)
    client = await flows.store.client("native")
    # The operator's own is as easily pretended to be; and so is one with an app's scheme.
    own = replace(client, first_party=True, redirects=("com.example.app:/cb",))
    await flows.store.change(own, (await flows.lines())[0])
    assert isinstance(await flows.authorize("native", redirect_uri="com.example.app:/cb"), NeedsConsent)


async def test_what_an_operator_took_away_is_not_offered_and_not_granted(flows):
    await flows.decide(await flows.authorize())
    kept = await flows.store.authorization_of(flows.people["alice"].id, "spa", flows.api)
    await flows.admin.withdraw(kept.id, "posts:read")
    tokens = await flows.redeem(told(await flows.authorize())["code"])
    assert tokens.scope == ScopeSet(["users:read"])
    assert told(await flows.authorize(scope="posts:read"))["error"] == "invalid_scope"


async def test_what_the_person_took_back_is_asked_again(flows):
    await flows.decide(await flows.authorize())
    alice = flows.people["alice"].id
    (kept,) = await flows.authority.consents.of(alice)
    await flows.authority.consents.withdraw(alice, kept.id, "posts:read", origin=Origin(), now=flows.now)
    asked = await flows.authorize()
    assert asked.agenda.asked == ScopeSet(["posts:read"])
    assert (await flows.redeem(told(await flows.decide(asked))["code"])).scope == ScopeSet(["users:read", "posts:read"])


async def test_a_role_taken_between_page_and_answer_counts(flows):
    asked = await flows.authorize("spa", "erin", scope="users:read posts:write")
    await flows.admin.take_role("erin", "editor")
    await flows.admin.give_role("erin", "reader")
    code = told(await flows.decide(asked, session="erin"))["code"]
    assert (await flows.redeem(code)).scope == ScopeSet(["users:read"])


async def test_a_client_disabled_between_page_and_answer_gets_nothing(flows):
    asked = await flows.authorize()
    await flows.admin.disable_client("spa")
    assert isinstance(await flows.decide(asked), ShowError)


async def test_a_redirect_taken_away_between_page_and_answer_gets_nothing(flows):
    asked = await flows.authorize()
    client = await flows.store.client("spa")
    await flows.store.change(replace(client, redirects=("https://spa.example.com/new",)), (await flows.lines())[0])
    assert isinstance(await flows.decide(asked), ShowError)


async def test_r8707_01_the_resource_bounds_what_is_asked(flows):
    await flows.admin.give_scopes("alice", ["files:read"])
    asked = await flows.authorize(scope="files:read users:read", resource=flows.files)
    assert asked.agenda.asked == ScopeSet(["files:read"])
    tokens = await flows.redeem(told(await flows.decide(asked))["code"])
    assert flows.claims(tokens)["aud"] == flows.files


async def test_r8707_02_two_resources_are_refused(flows):
    pairs = [*flows.query(), ("resource", flows.api), ("resource", flows.files)]
    assert told(await flows.authorize(pairs=pairs))["error"] == "invalid_target"


async def test_no_scope_asked_means_the_clients_default(flows):
    client = await flows.store.client("spa")
    await flows.store.change(replace(client, default=ScopeSet(["posts:read"])), (await flows.lines())[0])
    assert (await flows.authorize(scope=None)).agenda.asked == ScopeSet(["posts:read"])


# -- what waits ------------------------------------------------------------------------------------------------------


async def test_a_pending_request_survives_being_sealed_as_json(flows):
    asked = await flows.authorize(prompt="consent", max_age="60", login_hint="alice", resource=flows.api)
    kept = json.loads(json.dumps(asked.request.to_dict()))
    assert AuthorizationRequest.from_dict(kept) == asked.request
    bare = await flows.authorize(state=None, scope=None)
    assert AuthorizationRequest.from_dict(json.loads(json.dumps(bare.request.to_dict()))) == bare.request


JUNK = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=2)


async def test_a_pending_request_of_any_other_form_is_refused_and_no_fault(flows):
    good = (await flows.authorize()).request.to_dict()

    @given(st.sampled_from(sorted(good)), JUNK)
    def check(name, value):
        try:
            made = AuthorizationRequest.from_dict(good | {name: value})
        except Refused as bad:
            assert bad.code == "invalid_request"
        else:
            assert AuthorizationRequest.from_dict(made.to_dict()) == made

    check()
    for bad in ({}, {"client": "spa"}, good | {"more": 1}):
        with pytest.raises(Refused):
            AuthorizationRequest.from_dict(bad)


async def test_the_decision_counts_for_the_request_it_was_made_on(flows):
    asked = await flows.authorize(scope="users:read")
    widened = replace(asked.request, scope=ScopeSet(["users:read", "posts:read"]))
    outcome = await flows.authority.authorization.decide(
        widened, flows.session(), Decision(True, asked.agenda.asked), origin=Origin(), now=flows.now
    )
    assert (await flows.redeem(told(outcome)["code"])).scope == ScopeSet(["users:read"])
