"""What a scope is, and when it is enough. Pure: no clock, no socket, no framework.

`grammar` reads and writes scopes, `catalog` knows which exist and what each covers, `requirement`
says what a route needs, `roles` bundles scopes, `issuance` says what may be issued, `principal` who calls, `ownership` whose a
thing is.
"""

from .catalog import Catalog, Scope
from .grammar import ScopeSet
from .held import Held
from .issuance import Ceilings, issue
from .ownership import Ownership
from .principal import Principal
from .requirement import Allowed, Denied, Requirement, Rule, all_of, any_of
from .roles import Role

__all__ = [
    "Allowed",
    "Catalog",
    "Ceilings",
    "Denied",
    "Held",
    "Ownership",
    "Principal",
    "Requirement",
    "Role",
    "Rule",
    "Scope",
    "ScopeSet",
    "all_of",
    "any_of",
    "issue",
]
