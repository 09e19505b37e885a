"""Describes dependencies with the scopes that reach them, and what every route needs. Pure: no framework.

`dependant` is one node of a tree, `signature` reads one callable, `plan` is what every route needs, `openapi` writes that down.
"""

from .dependant import Dependant, Edge, EdgeOf, Parameter, SecurityScopes, Unresolved
from .plan import Access, Kind, Plan, RoutePlan, StepUp, combine

__all__ = [
    "Access",
    "Dependant",
    "Edge",
    "EdgeOf",
    "Kind",
    "Parameter",
    "Plan",
    "RoutePlan",
    "SecurityScopes",
    "StepUp",
    "Unresolved",
    "combine",
]
