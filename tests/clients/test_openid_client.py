"""openid-client, the JavaScript library, against the running server: one script goes through all of its flows.

Needs Node 18 or later, and `npm install` in tests/clients/node; without them the tests are skipped, and say why.
"""

import json
import queue
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "node"


@pytest.fixture(scope="module")
def told(live, new_browser):
    """What the script said of each flow."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed (Debian: apt-get install nodejs npm)")
    if not (HERE / "node_modules" / "openid-client").is_dir():
        pytest.skip("openid-client is not installed: npm install --prefix tests/clients/node")
    browser = new_browser()
    process = subprocess.Popen(
        [node, str(HERE / "flows.js"), live.issuer, live.base, live.secrets["site"], live.secrets["service"]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines, errors, said = queue.Queue(), [], {}
    threading.Thread(target=lambda: [lines.put(line) for line in process.stdout] + [lines.put("")], daemon=True).start()
    threading.Thread(target=lambda: errors.extend(process.stderr), daemon=True).start()
    try:
        while line := lines.get(timeout=60):
            if line.startswith("OPEN "):
                arrived = browser.open(line.removeprefix("OPEN ").strip())
                process.stdin.write((arrived if arrived.startswith("http") else "done") + "\n")
                process.stdin.flush()
                continue
            flow = json.loads(line)
            said[flow.pop("flow")] = flow
        assert process.wait(30) == 0, "".join(errors)
    finally:
        browser.http.close()
        process.kill()
        process.wait(10)
    assert "end" in said, "".join(errors)
    return said


@pytest.mark.parametrize("name", ["web", "site"])
def test_code_with_pkce(told, name):
    flow = told[f"code {name}"]
    assert flow["scope"] == "notes:read notes:write"
    assert flow["type"] == "bearer"
    assert flow["status"] == 200
    assert flow["caller"]["client"] == name


@pytest.mark.parametrize("name", ["web", "site"])
def test_refresh_rotates_and_narrows(told, name):
    assert told[f"refresh {name}"] == {
        "rotated": True,
        "scope": "notes:read notes:write",
        "less": "notes:read",
        "status": 200,
    }


def test_a_pushed_request_leaves_only_its_reference_in_the_address(told):
    assert told["par"] == {"scope": "notes:read", "parameters": ["client_id", "request_uri"]}


def test_client_credentials(told):
    assert told["client credentials"] == {"scope": "notes:read", "refresh": None}


def test_introspection_before_and_after_revocation(told, live):
    before, after = told["introspection"]["before"], told["introspection"]["after"]
    assert before["active"] is True
    assert (before["client_id"], before["scope"], before["iss"]) == ("service", "notes:read", live.issuer)
    assert after == {"active": False}
    assert told["revocation"] == {"refused": 401}


def test_device(told):
    assert told["device"] == {"scope": "notes:read", "status": 200}
    assert told["device revoked"] == {"error": "invalid_grant"}


def test_refusals_are_understood(told):
    # A 401 always comes with a challenge (RFC 9110 section 15.5.2), and the library tells that first.
    assert told["wrong secret"] == {"error": "OAUTH_WWW_AUTHENTICATE_CHALLENGE"}
    assert told["unknown scope"] == {"error": "invalid_scope"}
