"""From where a request came: nobody is believed by default, and of a chain only what trusted proxies wrote."""

from ipaddress import ip_network

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick import Catalog, ConfigurationError
from bailiwick.server import AuthorizationServer, Settings
from bailiwick.web.proxies import Proxies

ISSUER = "https://auth.example.com"
OURS = [ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48")]


def caller(peer, *fields, trusted=OURS):
    return Proxies(None, trusted).caller(peer, [(b"x-forwarded-for", field.encode()) for field in fields])


@pytest.mark.parametrize(
    ("peer", "fields", "expected"),
    [
        # nobody in front
        ("192.0.2.1", [], "192.0.2.1"),
        # what a stranger says of himself
        ("192.0.2.1", ["10.0.0.1"], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        # one proxy, two proxies
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7", "10.0.0.2"], "198.51.100.7"),
        # what the caller himself had sent stands on the left
        ("10.0.0.1", ["127.0.0.1, 203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["10.9.9.9, 198.51.100.7"], "198.51.100.7"),
        # proxies all the way, and none that says anything
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        # what is no address ends the chain
        ("10.0.0.1", ["198.51.100.7, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["198.51.100.7, <script>"], "10.0.0.1"),
        # the forms in which addresses are written
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", ["2001:DB8::7"], "2001:db8::7"),
        ("10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("2001:db8:1::1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["fe80::1%eth0"], "10.0.0.1"),
        # a server on a socket file has no peer
        ("", ["198.51.100.7"], ""),
    ],
)
def test_the_first_address_from_the_right_that_is_no_proxy_of_ours_is_the_callers(peer, fields, expected):
    assert caller(peer, *fields) == expected


@given(st.lists(st.text(max_size=30), max_size=30))
def test_a_stranger_is_never_anybody_else(said):
    headers = [(b"x-forwarded-for", ",".join(said).encode("utf-8", "replace"))]
    assert Proxies(None, OURS).caller("192.0.2.1", headers) == "192.0.2.1"


@given(st.binary(max_size=200))
def test_whatever_stands_on_the_left_changes_nothing(left):
    field = left.replace(b"\n", b"").replace(b"\r", b"") + b", 198.51.100.7"
    assert Proxies(None, OURS).caller("10.0.0.1", [(b"x-forwarded-for", field)]) == "198.51.100.7"


@pytest.mark.parametrize("wrong", ["example.com", "10.0.0.1/8", "", "0.0.0.0/0", "::/0", "10.0.0.0/33"])
def test_a_proxy_that_is_none_or_everybody_fails_the_start(wrong):
    with pytest.raises(ConfigurationError):
        Settings(ISSUER, trusted_proxies=(wrong,))


def test_a_string_in_place_of_a_list_fails_the_start():
    with pytest.raises(ConfigurationError):
        Settings(ISSUER, trusted_proxies="10.0.0.1")


async def journalled(peer, headers, **settings):
    """From where the journal says that a failed login came."""
    catalog = Catalog({"notes:read": "Read notes"}, roles={"reader": ["notes:read"]})
    server = AuthorizationServer(catalog, issuer=ISSUER, settings=Settings(ISSUER, **settings))
    transport = httpx.ASGITransport(server, client=(peer, 1234))
    async with server, httpx.AsyncClient(transport=transport, base_url=ISSUER) as http:
        admin = await server.admin()
        await admin.create_account("ada", "correct horse battery", roles=["reader"])
        await admin.create_client("cli", public=True, grants=["password"], scopes=["notes:read"], first_party=True)
        form = {"grant_type": "password", "client_id": "cli", "username": "ada", "password": "correct horse battery"}
        assert (await http.post("/token", data=form, headers=headers)).status_code == 200
        lines = await admin.journal()
    return {line.origin.address for line in lines if line.what == "token.issued"}


@pytest.mark.anyio
async def test_the_journal_and_the_counts_know_the_caller_behind_a_trusted_proxy_and_nobody_elses_word():
    said = {"x-forwarded-for": "198.51.100.7"}
    assert await journalled("10.0.0.1", said) == {"10.0.0.1"}
    assert await journalled("10.0.0.1", said, trusted_proxies=("10.0.0.0/8",)) == {"198.51.100.7"}
    assert await journalled("192.0.2.1", said, trusted_proxies=("10.0.0.0/8",)) == {"192.0.2.1"}


@pytest.mark.anyio
@pytest.mark.parametrize(("peer", "kept"), [("10.0.0.1", True), ("192.0.2.1", False)])
async def test_only_a_trusted_proxy_tells_of_certificates(peer, kept):
    seen = []

    async def inside(conn, receive, send):
        seen.append(conn)

    headers = [(b"client-cert", b":AAAA:"), (b"host", b"x")]
    await Proxies(inside, OURS)({"type": "http", "client": (peer, 1), "headers": headers}, None, None)
    assert ((b"client-cert", b":AAAA:") in seen[0]["headers"]) is kept
    assert (b"host", b"x") in seen[0]["headers"]
