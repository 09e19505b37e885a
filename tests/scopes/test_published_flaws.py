"""Flaws that were published of others, about how a list of what is allowed is read."""

import pytest

from bailiwick.scopes import Catalog, Scope

META = [".", "+", "?", "|", "(", ")", "[", "]", "{", "}", "^", "$"]


@pytest.mark.parametrize("meta", META)
def test_cve_2026_25479_a_character_that_a_pattern_would_obey_is_only_itself(meta):
    own, other = f"a{meta}b:read", "axb:read"
    catalog = Catalog(
        [Scope(own, ""), Scope(other, ""), Scope("ab:read", ""), Scope("aab:read", ""), Scope("b:read", "")]
    )
    for held in (f"a{meta}b:*", own):
        assert set(catalog.expand([held])) == {own}
        assert catalog.covers([held], own)
        for name in (other, "ab:read", "aab:read", "b:read"):
            assert not catalog.covers([held], name), (held, name)


@pytest.mark.parametrize(
    "held", [".*", ".*:*", "^a", "a.*", "[a-z]+:*", "?:read", "a?b:*", "*.read", "a*:read", "(a|b):*"]
)
def test_cve_2026_25479_no_pattern_of_any_language_covers_anything(held):
    catalog = Catalog([Scope("axb:read", ""), Scope("b:read", ""), Scope("a", "")])
    assert not set(catalog.expand([held])) & {"axb:read", "b:read", "a"}
    for name in ("axb:read", "b:read", "a"):
        assert not catalog.covers([held], name)
