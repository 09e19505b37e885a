"""Each row of the RFCs' checklist is shown by a test that exists, or has a reason."""

import ast
import csv
import tomllib
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ROWS = {row["id"]: row for row in csv.DictReader((TESTS / "cases/rfc_checklist.csv").read_text().splitlines())}
MAP = tomllib.loads((TESTS / "checklist.toml").read_text())
OPEN = set(MAP.pop("open"))
# What the authority answers for; nothing of it may be open.
OURS = {
    "authorize", "code", "pkce", "device", "exchange", "redirect-uri", "resource-indicator", "iss-param", "refresh",
    "client-auth", "client-credentials", "password", "scope", "token", "token-error", "token-response", "metadata",
    "revocation", "dpop",
}  # fmt: skip


def test_every_row_is_placed_once():
    assert MAP.keys() | OPEN == ROWS.keys()
    assert not MAP.keys() & OPEN


def test_no_row_of_the_authority_is_open():
    assert not {name for name in OPEN if ROWS[name]["area"] in OURS}


@pytest.mark.parametrize("row", sorted(MAP))
def test_a_row_names_tests_that_exist_or_says_why_there_are_none(row):
    placed = MAP[row]
    assert placed.keys() in ({"tests"}, {"tests", "note"}, {"reason"})
    assert placed.get("note", ".").endswith(".")
    if "reason" in placed:
        assert placed["reason"].endswith(".")
        return
    assert placed["tests"]
    assert len(set(placed["tests"])) == len(placed["tests"])
    for node in placed["tests"]:
        file, _, name = node.partition("::")
        tree = ast.parse((TESTS.parent / file).read_text())
        assert name in {one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}, node


@pytest.mark.anyio
async def test_r8414_06_r9207_04_r8628_17_what_clients_look_for_is_in_the_metadata(flows):
    document = await flows.authority.metadata()
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["authorization_endpoint"] == f"{flows.issuer}/authorize"
    assert document["device_authorization_endpoint"] == f"{flows.issuer}/device_authorization"
    assert document["pushed_authorization_request_endpoint"] == f"{flows.issuer}/par"
    assert document["response_types_supported"] == ["code"]
    assert document["response_modes_supported"] == ["query", "form_post"]
