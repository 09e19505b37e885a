"""A server of one's own in the place of its verifier is refused with what to write; apart, as the matrix of versions has no server."""

import pytest

from bailiwick import Catalog, asgi, fastapi, starlette
from bailiwick.errors import ConfigurationError
from bailiwick.server import AuthorizationServer

CATALOG = Catalog(["items"])
SERVER = AuthorizationServer(CATALOG, issuer="http://127.0.0.1:8000")


@pytest.mark.parametrize("door", [asgi.Guard, starlette.Guard, fastapi.Guard], ids=["asgi", "starlette", "fastapi"])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (SERVER, r"an AuthorizationServer .*write Guard\(catalog, server\.verifier\(\)\)"),
        (AuthorizationServer, r"write Guard\(catalog, server\.verifier\(\)\)"),
        (SERVER.verifier, r"Call the method: write Guard\(catalog, server\.verifier\(\)\)"),
    ],
)
def test_a_server_that_is_no_verifier_is_refused_with_what_was_meant(door, given, said):
    with pytest.raises(ConfigurationError, match=said):
        door(CATALOG, given)
