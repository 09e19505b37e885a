"""From a tree of dependencies to what runs, with the scopes that reach each node. Pure: no framework.

`dependant` is one node, `signature` reads one callable, `tree` what it depends on, `solve` runs that, `plan`
is what every route needs.
"""

from .dependant import Dependant, Parameter, SecurityScopes, Unresolved
from .plan import Access, Kind, Plan, RoutePlan, StepUp, combine
from .solve import OMIT, Program, Solved, Unmet, solve
from .tree import Edge, EdgeOf, Reader, read_tree

__all__ = [
    "OMIT",
    "Access",
    "Dependant",
    "Edge",
    "EdgeOf",
    "Kind",
    "Parameter",
    "Plan",
    "Program",
    "Reader",
    "RoutePlan",
    "SecurityScopes",
    "Solved",
    "StepUp",
    "Unmet",
    "Unresolved",
    "combine",
    "read_tree",
    "solve",
]
