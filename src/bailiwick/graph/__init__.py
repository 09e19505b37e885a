"""From a tree of dependencies to what runs, with the scopes that reach each node. Pure: no framework.

`dependant` is one node, `signature` reads trees from callables, `solve` runs them.
"""

from .dependant import Dependant, Parameter, SecurityScopes, Unresolved
from .signature import Edge, EdgeOf, Reader, read_tree

__all__ = [
    "Dependant",
    "Edge",
    "EdgeOf",
    "Parameter",
    "Reader",
    "SecurityScopes",
    "Unresolved",
    "read_tree",
]
