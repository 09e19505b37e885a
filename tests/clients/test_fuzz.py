"""Schemathesis over the authority's own OpenAPI document: whatever is sent, no fault of ours comes back.

The suite sends a few hundred requests; `make fuzz` sends more than twenty thousand, or as many as
BAILIWICK_FUZZ says. Some of what is sent holds names, secrets and tokens that exist, so that it gets
further than the first refusal.
"""

import os
from collections import Counter

import hypothesis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed: pip install schemathesis")
requests = pytest.importorskip("requests", reason="requests is not installed: pip install requests")

from schemathesis import GenerationMode  # noqa: E402
from schemathesis.checks import load_all_checks  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

REQUESTS = int(os.environ.get("BAILIWICK_FUZZ", "300"))
PASSWORD = "correct horse battery staple"
BASIC = {"site": "1d0c9b8a7e6d4c3b2a19080f7e6d5c5f", "service": "5f1d0c9b8a7e6d4c3b2a19080f7e6d5c"}
# Found only by somebody who knows them: refresh tokens are spent and codes are single, so some are made anew.
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]


@pytest.fixture(scope="module")
def known(alone):
    """Values that mean something to the server, by the field that they belong into."""

    def token(**form):
        return alone.http.post("/token", data=form).json()

    person = token(grant_type="password", client_id="cli", username="ada", password=PASSWORD)
    program = token(grant_type="client_credentials", client_id="service", client_secret=BASIC["service"])
    device = alone.http.post("/device_authorization", data={"client_id": "tv"}).json()
    access, refresh = person["access_token"], person["refresh_token"]
    tokens = [access, refresh, program["access_token"], access[:-3], "A" * 43]
    type_of = "urn:ietf:params:oauth:token-type:"
    return {
        "client_id": ["cli", "web", "site", "service", "tv", "nobody"],
        "client_secret": [*BASIC.values(), ""],
        "redirect_uri": ["http://127.0.0.1/callback", "http://127.0.0.1:9/callback", "https://evil.example/"],
        "scope": ["notes:read", "notes:*", "notes:read notes:write", "unknown", 'a"b', ""],
        "resource": [alone.base, "https://other.example", "relative"],
        "token": tokens,
        "subject_token": tokens,
        "actor_token": tokens,
        "subject_token_type": [f"{type_of}access_token", f"{type_of}jwt"],
        "actor_token_type": [f"{type_of}access_token"],
        "refresh_token": [refresh, "bwr_x"],
        "device_code": [device["device_code"]],
        "user_code": [device["user_code"]],
        "code_challenge": ["E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"],
        "code_challenge_method": ["S256", "plain"],
        "response_type": ["code", "token"],
        "username": ["ada", "nobody"],
        # Argon2 is slow on purpose: right passwords are tried elsewhere.
        "password": [""],
        "redirect_uris": [["https://app.example/cb"], ["javascript:alert(1)"], []],
        "grant_types": [["authorization_code", "refresh_token"], ["client_credentials"]],
    }


GOOD = {
    "POST /register": [{"redirect_uris": ["https://app.example/cb"], "token_endpoint_auth_method": "none"}],
    "POST /par": [
        {
            "client_id": "site",
            "client_secret": BASIC["site"],
            "response_type": "code",
            "redirect_uri": "http://127.0.0.1/callback",
            "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            "code_challenge_method": "S256",
        }
    ],
    "POST /token": [
        {"grant_type": "client_credentials", "client_id": "service", "client_secret": BASIC["service"]},
    ],
    "POST /device_authorization": [{"client_id": "tv"}],
}


class Sent:
    """What was sent and answered, counted."""

    def __init__(self, alone):
        self.base = alone.issuer
        self.session = requests.Session()
        self.answers = Counter()
        self.by_operation = Counter()

    def __len__(self):
        return self.answers.total()

    def send(self, case, data, known):
        body = case.body
        good = GOOD.get(case.operation.label)
        if good and isinstance(body, dict) and not data.draw(st.integers(0, 4)):
            # What would be granted, but for what else stands in it.
            kept = {name: body[name] for name in body if data.draw(st.integers(0, 3)) == 0}
            body.clear()
            body.update(data.draw(st.sampled_from(good)) | (kept if data.draw(st.booleans()) else {}))
        elif isinstance(body, dict) and data.draw(st.integers(0, 3)):
            # Three of four know something.
            for name in [name for name in known if data.draw(st.integers(0, 9)) < 4]:
                body[name] = data.draw(st.sampled_from(known[name]))
        if isinstance(case.query, dict) and data.draw(st.integers(0, 1)):
            for name in [name for name in case.query if name in known]:
                case.query[name] = data.draw(st.sampled_from(known[name]))
        headers = {}
        if data.draw(st.integers(0, 9)) < 3:
            client = data.draw(st.sampled_from(sorted(BASIC)))
            headers["authorization"] = requests.auth._basic_auth_str(client, BASIC[client])
        # A redirect is an answer; what lies behind it has its own description.
        answer = case.call(
            base_url=self.base, session=self.session, headers=headers or None, allow_redirects=False, timeout=30
        )
        self.answers[answer.status_code] += 1
        self.by_operation[case.operation.label] += 1
        assert answer.status_code not in {500, 501, 502, 504}, case.as_curl_command()
        # 405 and 404 belong to methods and paths that the description does not have.
        checks = [content_type_conformance, response_schema_conformance, response_headers_conformance]
        if answer.status_code not in {404, 405}:
            checks.append(status_code_conformance)
        case.validate_response(answer, checks=checks)


@pytest.mark.untraced
@pytest.mark.slow
def test_whatever_is_sent_no_fault_of_ours_comes_back(alone, known):
    load_all_checks()
    document = alone.http.get("/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == sum(
        len(set(path) & {"get", "put", "post", "delete"}) for path in document["paths"].values()
    )
    sent = Sent(alone)
    rounds = 0
    while len(sent) < REQUESTS:
        before, rounds = len(sent), rounds + 1
        for operation in operations:
            for mode in MODES:
                fuzz(operation, mode, sent, known, rounds)
        assert len(sent) > before
    print(f"{len(sent)} requests in {rounds} rounds: {dict(sorted(sent.answers.items()))}")  # noqa: T201 - the count is what one runs it for
    # Not all were turned away at the door.
    assert sent.answers[200] > 0
    assert sent.answers[201] > 0
    assert sent.answers[303] > 0
    assert len(sent.by_operation) == len(operations)
    # The server is as well as before.
    assert alone.http.get("/ready").status_code == 200


def fuzz(operation, mode, sent, known, seed):
    """Some requests to one operation; what has no parameters has few forms."""
    try:
        cases = operation.as_strategy(generation_mode=mode)
    except schemathesis.errors.InvalidSchema:
        return
    examples = max(4, min(200, REQUESTS // 60))

    @hypothesis.seed(seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(st.data())
    def run(data):
        sent.send(data.draw(cases), data, known)

    try:
        run()
    except hypothesis.errors.Unsatisfiable:
        # An operation without parameters cannot be asked wrongly.
        assert mode is GenerationMode.NEGATIVE
