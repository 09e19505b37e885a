"""What every test may ask for: one event loop, and hypothesis without a deadline on a shared machine."""

from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("bailiwick", deadline=None, print_blob=True)
hypothesis.settings.register_profile("quick", deadline=None, print_blob=True, max_examples=10)
hypothesis.settings.load_profile("bailiwick")


@pytest.fixture
def anyio_backend():
    return "asyncio"


# What `make quick` leaves out, by the reason; files and folders below tests/.
SLOW = {
    "starts processes": ("cli", "demo", "flows", "typing", "docs", "test_docs.py", "../examples", "clients"),
    "drives a browser": ("browser",),
    "writes into real files from many threads": (
        "storage/test_attacks.py",
        "storage/test_sqlite.py",
        "storage/test_unfinished.py",
    ),
    "follows another server": ("remote",),
    "hashes passwords, or makes very many guesses": ("web/test_attacks.py", "machine"),
    "goes through very many cases": (
        "doors/test_refusals_leave_nothing.py",
        "scopes/test_reference.py",
        "scopes/test_requirement.py",
        "tokens/test_properties.py",
        "authority/test_formula_over_time.py",
        "authority/test_formula_for_every_grant.py",
    ),
}


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    slow = [(here / path).resolve() for paths in SLOW.values() for path in paths]
    for item in items:
        if any(item.path.is_relative_to(path) for path in slow):
            item.add_marker(pytest.mark.slow)
