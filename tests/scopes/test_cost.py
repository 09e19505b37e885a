"""Rule 9: a check costs the same for 3 scopes and for 3,000."""

import time

import pytest

from bailiwick import Catalog, all_of, any_of

NAMES = [f"resource{n // 4}:action{n % 4}" for n in range(10_000)]
ROUNDS, CALLS = 40, 2000


@pytest.fixture(scope="module")
def catalog():
    return Catalog(NAMES)


# These measure, so they run by themselves, without a coverage tracer beside them (see the Makefile).
pytestmark = pytest.mark.timing


def seconds_per_call(call, *arguments):
    """For each argument the best of several rounds, in turn: other work on the machine can only add to them."""
    best = [float("inf")] * len(arguments)
    for _ in range(ROUNDS):
        for index, argument in enumerate(arguments):
            begun = time.process_time()
            for _ in range(CALLS):
                call(argument)
            best[index] = min(best[index], (time.process_time() - begun) / CALLS)
    return best


@pytest.mark.parametrize(
    "requirement",
    [all_of(NAMES[5000]), all_of(NAMES[1], NAMES[5000]), any_of(NAMES[9999], NAMES[5000])],
    ids=["one", "all of two", "any of two"],
)
def test_a_decision_takes_less_than_a_microsecond_and_is_flat_in_what_is_held(catalog, requirement):
    few = catalog.hold([NAMES[0], NAMES[1], NAMES[5000]])
    many = catalog.hold([NAMES[1], NAMES[5000], *NAMES[7001:9999]])
    assert len(few.names) == 3
    assert len(many.names) == 3000
    allows = catalog.compile(requirement).allows
    assert allows(few)
    assert allows(many)
    with_few, with_many = seconds_per_call(allows, few, many)
    assert with_few < 1e-6
    assert with_many < 1e-6
    assert with_many / with_few < 1.5


def test_a_refusal_is_flat_too(catalog):
    few, many = catalog.hold(NAMES[:3]), catalog.hold(NAMES[7000:])
    allows = catalog.compile(all_of(NAMES[5000])).allows
    assert not allows(few)
    assert not allows(many)
    with_few, with_many = seconds_per_call(allows, few, many)
    assert with_many / with_few < 1.5


def test_a_catalog_of_ten_thousand_scopes_compiles_in_less_than_two_seconds():
    begun = time.process_time()
    assert len(Catalog(NAMES)) == 10_000
    assert time.process_time() - begun < 2


def test_a_thousand_routes_compile_in_less_than_a_third_of_a_second(catalog):
    took = []
    for _ in range(3):
        begun = time.process_time()
        for n in range(1000):
            catalog.compile(all_of(NAMES[n], NAMES[n + 1]))
        took.append(time.process_time() - begun)
    assert min(took) < 0.3
