"""What hostile clients and people try at the authority itself, without HTTP, and do not get."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from bailiwick.authority.attempts import FREE, FREE_TOGETHER, network_of
from bailiwick.authority.clients import digest_secret
from bailiwick.authority.records import Event, Origin
from bailiwick.errors import InvalidToken, Refused, Unavailable
from bailiwick.tokens import Revocations

pytestmark = pytest.mark.anyio

SLOWED = ("slow_down", "BW416")


async def guess(world, password, address="203.0.113.66", name="alice", client="app"):
    """One guess through the password grant."""
    form = {"grant_type": "password", "username": name, "password": password, "client_id": client}
    request = world.read(form, origin=Origin(address))
    return await world.authority.token.answer(request, now=world.now)


async def test_the_password_grant_is_no_way_around_the_login_pages_count(world):
    for _ in range(FREE):
        assert await world.refused(guess(world, "wrong")) == ("invalid_grant", "BW407")
    assert await world.refused(guess(world, "alice's password")) == SLOWED
    world.now += 31
    assert (await guess(world, "alice's password")).access_token


async def test_guesses_that_come_all_at_once_tell_no_more_than_one_after_the_other(world):
    # The right one is among them, and late: it has to look like the others.
    tries = [*(f"wrong {number}" for number in range(3 * FREE)), "alice's password"]
    outcomes = await asyncio.gather(*(guess(world, one) for one in tries), return_exceptions=True)
    assert Counter(one.id for one in outcomes) == {"BW407": FREE, "BW416": 2 * FREE + 1}


async def test_one_person_may_be_right_as_often_at_once_as_they_like(world):
    outcomes = await asyncio.gather(*(guess(world, "alice's password") for _ in range(2 * FREE_TOGETHER)))
    assert len({one.refresh_token for one in outcomes}) == 2 * FREE_TOGETHER


async def test_unknown_names_are_slowed_down_like_known_ones(world):
    for name in ("alice", "nobody"):
        for _ in range(FREE):
            assert await world.refused(guess(world, "wrong", name=name)) == ("invalid_grant", "BW407")
        assert await world.refused(guess(world, "wrong", name=name)) == SLOWED


async def test_another_spelling_of_a_name_is_no_new_name(world):
    for number in range(FREE):
        await world.refused(guess(world, "wrong", name=("alice", "ALICE", "\uff41lice")[number % 3]))
    assert await world.refused(guess(world, "wrong", name="Alice")) == SLOWED


async def test_guesses_through_several_clients_are_counted_together(world):
    for number in range(FREE):
        await world.refused(guess(world, "wrong", client=("app", "other")[number % 2]))
    assert await world.refused(guess(world, "wrong", client="other")) == SLOWED


async def test_a_weak_secret_of_a_client_cannot_be_guessed_for_ever(world):
    await world.admin.create_client("old", grants=["client_credentials"], scopes=["users:read"], secret="hunter2!")

    async def show(secret, address="203.0.113.66"):
        form = {"grant_type": "client_credentials", "client_id": "old", "client_secret": secret}
        return await world.authority.token.answer(world.read(form, origin=Origin(address)), now=world.now)

    for number in range(FREE):
        assert await world.refused(show(f"guess {number}")) == ("invalid_client", "BW401")
    assert await world.refused(show("hunter2!")) == SLOWED
    assert (await show("hunter2!", "192.0.2.1")).access_token


@pytest.mark.parametrize("secret", ["s" * 64, "correct horse battery staple, and so on", "hunter2 " * 20])
async def test_a_long_secret_that_somebody_chose_cannot_be_guessed_for_ever_either(world, secret):
    await world.admin.create_client("old", grants=["client_credentials"], scopes=["users:read"], secret=secret)
    assert (await world.store.client("old")).secret.startswith("$argon2id$")
    form = {"grant_type": "client_credentials", "client_id": "old"}
    for number in range(FREE):
        wrong = form | {"client_secret": f"guess {number}"}
        assert await world.refused(world.ask(**wrong)) == ("invalid_client", "BW401")
    assert await world.refused(world.ask(**form, client_secret=secret)) == SLOWED


async def test_a_long_secret_that_somebody_chose_before_is_kept_slowly_from_its_next_use(world):
    secret = "s" * 40
    await world.admin.create_client("old", grants=["client_credentials"], scopes=["users:read"], secret=secret)
    kept = await world.store.client("old")
    assert await world.store.change(
        replace(kept, secret=digest_secret(secret)), Event(world.now, "as before", "tester")
    )
    form = {"grant_type": "client_credentials", "client_id": "old"}
    assert await world.refused(world.ask(**form, client_secret="t" * 40)) == ("invalid_client", "BW401")
    assert (await world.store.client("old")).secret == digest_secret(secret)
    assert (await world.ask(**form, client_secret=secret)).scope
    assert (await world.store.client("old")).secret.startswith("$argon2id$")
    assert len(await world.lines("client.secret_rehashed")) == 1
    assert (await world.ask(**form, client_secret=secret)).scope
    assert len(await world.lines("client.secret_rehashed")) == 1


async def test_a_strong_secret_needs_no_count_so_nobody_can_keep_its_client_out(world):
    for number in range(2 * FREE_TOGETHER):
        wrong = {"grant_type": "client_credentials", "client_id": "service", "client_secret": f"{number:064}"}
        assert await world.refused(world.ask(**wrong)) == ("invalid_client", "BW401")
    assert (await world.serve()).access_token


@pytest.mark.parametrize("failure", [Unavailable("busy", id="BW504", retry_after=1), RuntimeError("broken")])
async def test_what_was_never_checked_is_no_guess(world, monkeypatch, failure):
    async def fail(*_):
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(world.hasher, "verify", fail)
        for _ in range(2 * FREE):
            with pytest.raises(type(failure)):
                await guess(world, "alice's password")
    assert (await guess(world, "alice's password")).access_token


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_guesses_are_counted_by_network(address, network):
    assert network_of(address) == network


async def test_a_pushed_request_keeps_only_what_an_authorization_request_may_hold(flows):
    # Whoever mistakes one endpoint for another sends what should be written down nowhere; and what is pushed without a
    # secret must not fill the disk with whatever it likes.
    kept = {}
    push = flows.store.push_request

    async def seen(request, *more):
        kept.update(request.parameters)
        return await push(request, *more)

    flows.store.push_request = seen
    extra = [
        ("code_verifier", "v" * 43),
        ("password", "hunter2"),
        ("refresh_token", "bwr_x"),
        ("padding", "x" * 16_000),
    ]
    await flows.push("spa", pairs=[*flows.query("spa"), *extra])
    assert kept == dict(flows.query("spa"))


async def test_a_pushed_request_still_says_all_that_an_authorization_request_may_say(flows):
    said = {"prompt": "consent", "max_age": "60", "login_hint": "alice", "nonce": "n", "response_mode": "form_post"}
    pushed = await flows.push("spa", **said, resource=flows.api)
    pairs = [("client_id", "spa"), ("request_uri", pushed.request_uri)]
    asked = await flows.authorize(pairs=pairs)
    request = asked.request
    assert (request.prompt, request.max_age, request.hint, request.mode.value, request.resource) == (
        frozenset({"consent"}),
        60,
        "alice",
        "form_post",
        flows.api,
    )


async def test_a_request_object_that_is_pushed_is_refused_and_not_left_out(flows):
    assert await flows.refused(flows.push("spa", request="eyJhbGciOiJub25lIn0.e30.")) == (
        "request_not_supported",
        "BW400",
    )


@pytest.mark.parametrize("act", ["revoke", "disable and enable"])
@pytest.mark.parametrize("by", ["code", "device"])
async def test_what_was_allowed_before_a_client_was_revoked_begins_nothing_afterwards(flows, by, act):
    client = "spa" if by == "code" else "tv"
    if by == "code":
        proof = await flows.code("spa")
        use = flows.redeem
    else:
        proof = await flows.begin_device()
        await flows.settle(await flows.enter(proof.user_code))
        use = flows.poll
    flows.now += 1
    if act == "revoke":
        await flows.admin.revoke_client_tokens(client)
    else:
        await flows.admin.disable_client(client)
        await flows.admin.enable_client(client)
    flows.now += 1
    code, _ = await flows.refused(use(proof))
    assert code == "invalid_grant"


@pytest.mark.parametrize("act", ["password", "revoke", "disable and enable"])
@pytest.mark.parametrize("by", ["code", "device"])
async def test_what_a_person_allowed_before_everything_of_theirs_ended_begins_nothing_afterwards(flows, by, act):
    if by == "code":
        proof = await flows.code("spa")
        use = flows.redeem
    else:
        proof = await flows.begin_device()
        await flows.settle(await flows.enter(proof.user_code))
        use = flows.poll
    flows.now += 1
    if act == "password":
        await flows.admin.set_password("alice", "another password")
    elif act == "revoke":
        await flows.admin.revoke_account_tokens("alice")
    else:
        await flows.admin.disable_account("alice")
        await flows.admin.enable_account("alice")
    flows.now += 1
    code, _ = await flows.refused(use(proof))
    assert code == "invalid_grant"


@pytest.mark.parametrize("by", ["code", "device"])
async def test_what_was_taken_back_and_allowed_anew_is_not_what_was_allowed_before(flows, by):
    if by == "code":
        proof = await flows.code("spa")
        use, client = flows.redeem, "spa"
    else:
        proof = await flows.begin_device(scope="users:read")
        await flows.settle(await flows.enter(proof.user_code))
        use, client = flows.poll, "tv"
    flows.now += 1
    (found,) = [
        one for one in await flows.store.authorizations(subject=flows.people["alice"].id) if one.client == client
    ]
    await flows.authority.consents.withdraw(found.subject, found.id, origin=Origin(), now=flows.now)
    flows.now += 1
    if by == "code":
        await flows.code("spa")
    else:
        again = await flows.begin_device(scope="users:read")
        await flows.settle(await flows.enter(again.user_code))
    with pytest.raises(Refused):
        await use(proof)


async def guarded(flows, tokens):
    """Whether a guard that follows the feed still takes a token, and whether introspection does."""
    revoked = Revocations()
    for line in await flows.store.revocations(now=flows.now):
        revoked.add(line.kind.value, line.key, at=line.at, until=line.until, number=line.number, scope=line.scope)
    active = (await flows.introspect(tokens.access_token))["active"]
    try:
        revoked.apply(await flows.authority.verifier.verify(tokens.access_token))
    except InvalidToken:
        return False, active
    return True, active


@pytest.mark.parametrize("act", ["client disabled", "client revoked", "token revoked", "person disabled", "taken back"])
@pytest.mark.parametrize("times", [1, 2])
async def test_an_exchanged_token_ends_with_all_that_the_first_one_hangs_on(flows, act, times):
    first = await flows.redeem(await flows.code("spa"))
    tokens = first
    for _ in range(times):
        tokens = await flows.exchange(tokens)
    assert await guarded(flows, tokens) == (True, True)
    match act:
        case "client disabled":
            await flows.admin.disable_client("spa")
        case "client revoked":
            await flows.admin.revoke_client_tokens("spa")
        case "token revoked":
            await flows.revoke(first.access_token, "spa")
        case "person disabled":
            await flows.admin.disable_account("alice")
        case "taken back":
            await flows.admin.withdraw(flows.claims(first)["authz"])
    assert await guarded(flows, tokens) == (False, False)


async def test_an_exchanged_token_ends_with_the_token_of_who_acts(flows):
    acting = await flows.ask(grant_type="client_credentials", **flows.proof("gateway"))
    actor = {"actor_token": acting.access_token, "actor_token_type": "urn:ietf:params:oauth:token-type:access_token"}
    tokens = await flows.exchange(await flows.redeem(await flows.code("spa")), **actor)
    assert await guarded(flows, tokens) == (True, True)
    await flows.revoke(acting.access_token, "gateway", flows.secrets["gateway"])
    assert await guarded(flows, tokens) == (False, False)


async def test_a_token_is_not_handed_on_for_ever(flows):
    tokens = await flows.redeem(await flows.code("spa"))
    sizes = []
    for _ in range(5):
        tokens = await flows.exchange(tokens)
        sizes.append(len(tokens.access_token))
    assert max(sizes) < 4_096
    refusals = []
    for _ in range(20):
        try:
            tokens = await flows.exchange(tokens)
        except Refused as why:
            refusals.append(why.code)
    assert refusals[-1] == "invalid_request"
    assert len(tokens.access_token) < 4_096


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"code_verifier": "w" * 43}, "code_verifier"),
        ({"code_verifier": None}, "code_verifier"),
        ({"redirect_uri": "https://evil.example/cb"}, "redirect_uri"),
        ({"client_id": "native"}, "native"),
        ({"resource": "https://files.example.com"}, "resource"),
    ],
)
async def test_a_stolen_code_that_is_tried_in_vain_leaves_a_line_in_the_journal(flows, wrong, why):
    code = await flows.code("spa")
    await flows.refused(flows.redeem(code, **wrong))
    (line,) = await flows.lines("code.refused")
    assert line.subject == flows.people["alice"].id
    assert why in line.detail
    assert code not in repr(line)
