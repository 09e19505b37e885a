"""What is told without being waited for is what `verify` would tell, or nothing."""

import asyncio
import threading

import pytest

from bailiwick.errors import InvalidToken
from bailiwick.tokens import Keyring, Signer, SigningKey, jws, verify


def header(token):
    return b"Bearer " + token.encode()


def forged(token):
    signed, _, signature = token.rpartition(".")
    return f"{signed}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def told(verifier, token):
    """What `verify` says: the subject, or the id of the refusal."""
    try:
        return asyncio.run(verifier.verify(token)).subject
    except InvalidToken as refused:
        return refused.id


def test_a_good_token_is_verified_at_once_where_the_keys_are_at_hand(world):
    verifier = world.verifier()
    token = world.token()
    caller = verifier.verify_now(header(token))
    assert caller.subject == "user-1"
    assert verifier.verify_now(header(token)) is caller
    assert asyncio.run(verifier.verify(token)) is caller


def test_where_keys_may_have_to_be_fetched_only_what_is_remembered_is_told(world):
    class Source:
        async def find(self, kid, alg):
            return Keyring.from_keys(world.key).find_now(kid, alg)

    verifier = world.verifier(Source())
    token = world.token()
    assert verifier.verify_now(header(token)) is None
    assert verifier.verify_now(header(forged(token))) is None
    caller = asyncio.run(verifier.verify(token))
    assert told(verifier, forged(token)) == "BW203"
    assert verifier.verify_now(header(token)) is caller
    assert verifier.verify_now(header(forged(token))).id == "BW203"


def test_a_keyring_that_finds_keys_in_a_way_of_its_own_is_asked_in_that_way(world):
    class Asking(Keyring):
        async def find(self, kid, alg):
            return ()  # withdrawn since

    verifier = world.verifier(Asking([world.key.key]))
    assert verifier.verify_now(header(world.token())) is None
    assert told(verifier, world.token()) == "BW203"


@pytest.mark.parametrize(
    "change",
    [
        forged,
        lambda token: token.replace(".", "..", 1),
        lambda token: token + ".",
        lambda token: token[:-1],
        lambda token: f" {token}",
        lambda token: f"{token} ",
        lambda token: f"{token}=",
        lambda token: token.replace(".", ".%", 1),
        lambda token: "",
        lambda token: "a.b.c",
    ],
)
def test_what_is_refused_at_once_is_refused_by_verify_with_the_same_id(world, change):
    verifier = world.verifier()
    odd = change(world.token())
    now = verifier.verify_now(header(odd))
    assert now is None or now.id == told(verifier, odd)


@pytest.mark.parametrize(
    ("claims", "refused"),
    [
        ({"exp": 1}, "BW208"),
        ({"iss": "https://evil.example"}, "BW206"),
        ({"aud": "https://other.example"}, "BW207"),
        ({"nbf": 4_000_000_000}, "BW209"),
        ({"sub": ""}, "BW210"),
        ({"cnf": {"jkt": "x"}}, "BW216"),
    ],
)
def test_claims_are_judged_at_once_as_verify_judges_them(world, claims, refused):
    verifier = world.verifier()
    token = world.token(**claims)
    assert verifier.verify_now(header(token)).id == told(verifier, token) == refused
    assert len(verifier._remembered) == 0


def test_a_header_that_was_good_once_lends_nothing_to_a_token_of_another_type_or_key(world):
    verifier = world.verifier()
    assert verifier.verify_now(header(world.token())).subject == "user-1"
    other = SigningKey.generate("ES256", kid="k-other")
    for token, refused in (
        (Signer(world.key).sign(world.claims(), typ="JWT"), "BW205"),
        (Signer(other).sign(world.claims()), "BW203"),
        (Signer(SigningKey.generate("ES384", kid=world.key.kid)).sign(world.claims()), "BW204"),
    ):
        assert verifier.verify_now(header(token)).id == told(verifier, token) == refused


def test_headers_that_are_all_different_leave_a_bounded_memory(world):
    verifier = world.verifier()
    for n in range(200):
        verifier.verify_now(header(Signer(world.key).sign(world.claims(), typ=f"{'Aa'[n % 2]}T+JWT".swapcase())))
        verifier.verify_now(header(Signer(SigningKey.generate("ES256", kid=f"k-{n}")).sign(world.claims())))
    assert len(verifier._accepted) <= 64


@pytest.mark.parametrize("scheme", [b"bearer ", b"BEARER ", b"Bearer  ", b"Basic ", b"", b"Bearer"])
def test_another_way_to_write_the_scheme_is_left_to_the_long_way(world, scheme):
    verifier = world.verifier()
    token = world.token()
    asyncio.run(verifier.verify(token))
    assert verifier.verify_now(scheme + token.encode()) is None


def test_a_check_that_refuses_is_heard_at_once_too(world):
    banned = set()

    def check(caller):
        if caller.subject in banned:
            raise InvalidToken("banned", id="BW213")

    verifier = world.verifier(checks=[check])
    token = world.token()
    assert verifier.verify_now(header(token)).subject == "user-1"
    banned.add("user-1")
    assert verifier.verify_now(header(token)).id == "BW213"
    banned.clear()
    assert verifier.verify_now(header(token)).subject == "user-1"


def test_a_remembered_answer_ends_at_exp_also_at_once(world):
    verifier = world.verifier(leeway=0)
    token = world.token()
    ends = verifier.verify_now(header(token)).expires_at
    world.time = ends - 0.001
    assert verifier.verify_now(header(token)).subject == "user-1"
    world.time = ends
    assert verifier.verify_now(header(token)).id == "BW208"


def test_in_many_threads_nobody_is_told_about_another_ones_token(world):
    verifier = world.verifier(cache_size=8)
    good = [world.token(sub=f"user-{number}") for number in range(12)]
    wrong = []

    def ask(number):
        for n in range(400):
            at = (number + n) % len(good)
            if verifier.verify_now(header(good[at])).subject != f"user-{at}":
                wrong.append(at)
            if verifier.verify_now(header(forged(good[at]))).id != "BW203":
                wrong.append(at)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(verifier._remembered) <= 8
    assert len(verifier._forged) <= 8


def test_a_keyring_that_somebody_derived_is_asked_each_time_and_forgetting_forgets_the_keys_of_headers(world):
    other = SigningKey.generate("ES256", kid="k-2")

    class Turning(Keyring):
        def find_now(self, kid, alg):
            return self.current.find_now(kid, alg)

    ring = Turning([world.key.key])
    ring.current = Keyring.from_keys(world.key)
    verifier = world.verifier(ring)
    assert told(verifier, world.token()) == "user-1"
    ring.current = Keyring.from_keys(other)
    verifier.forget()
    token = world.token(jti="j-2")
    assert verifier.verify_now(header(token)) is None
    assert told(verifier, token) == "BW203"

    plain = world.verifier()
    assert plain.verify_now(header(world.token())).subject == "user-1"
    assert len(plain._accepted) == 1
    plain.forget()
    assert len(plain._accepted) == 0


def test_who_cannot_sign_fills_no_memory_of_headers(world):
    verifier = world.verifier()
    for n in range(8):
        typ = "".join(char.upper() if n >> at & 1 else char for at, char in enumerate("at+jwt"))
        assert verifier.verify_now(header(forged(world.token(typ=typ)))).id == "BW203"
    assert len(verifier._accepted) == 0


@pytest.mark.parametrize("first", ["W10", "e30", "WyJb", "A" * 3000], ids=["a list", "empty", "no JSON", "too long"])
def test_what_has_not_the_form_of_a_token_is_refused_at_once_and_read_once(world, monkeypatch, first):
    reads, read_octets = [], jws.read_octets
    for module in (jws, verify):
        monkeypatch.setattr(module, "read_octets", lambda token: reads.append(token) or read_octets(token))
    verifier, token = world.verifier(), f"{first}.e30.AAAA"
    answer = verifier.verify_now(header(token))
    assert len(reads) == 1
    assert (answer.__traceback__, answer.__cause__, answer.__context__) == (None, None, None)
    with pytest.raises(InvalidToken) as raised:
        asyncio.run(verifier.verify(token))
    assert (answer.id, answer.description) == (raised.value.id, raised.value.description)
