"""An OpenAPI document that is true: each operation's security, written from the plan."""

import weakref
from collections.abc import Callable, Iterator
from typing import Any

from bailiwick.errors import ConfigurationError
from bailiwick.frameworks.fastapi.compat import Place
from bailiwick.frameworks.fastapi.dependency_tree import Declared, read_tree
from bailiwick.graph import RoutePlan, combine
from bailiwick.graph.openapi import Beside, describe
from bailiwick.guard.guard import Guard
from bailiwick.scopes import Requirement

__all__ = ["Document", "Operations", "Other", "needed_of_others"]

# Another guard that a route needs, what it requires, and whether the caller may be anonymous there.
Other = tuple[Any, Requirement | None, bool]


class Operations:
    """What the operations of one application need.

    Args:
        guard: whose plan it is.
        described: whether the application has a document.
    """

    def __init__(self, guard: Any, *, described: bool) -> None:
        self._names: dict[str, Any] | None = {guard.scheme_name: guard} if described else None
        self._own_name = guard.scheme_name
        # By the path as OpenAPI writes it, and the method in lower case.
        self.routes: dict[tuple[str, str], RoutePlan] = {}
        self._others: dict[tuple[str, str], list[Other]] = {}

    def check_names(self, place: Place, declared: Declared, where: str) -> None:
        """Insist that each guard has a name of its own in the document.

        Args:
            place: the route.
            declared: what it declares.
            where: its name for messages.

        Raises:
            ConfigurationError: one of two would be described as the other.
        """
        if self._names is None or not place.in_schema:
            return
        for other in declared.others:
            name = getattr(other, "scheme_name", "")
            if not isinstance(other, Guard) and name != self._own_name:
                continue
            if self._names.setdefault(name, other) is not other:
                raise ConfigurationError(
                    f"{where}: two security schemes are named {name!r}, and OpenAPI can describe but one; "
                    "give a guard another scheme_name=.",
                    id="BW106",
                )

    def add(self, place: Place, route: RoutePlan, others: list[Other]) -> None:
        """Note what a route needs, for each of its methods; of two at one path the first one answers.

        Args:
            place: the route.
            route: its entry of the plan.
            others: what it needs of other guards.
        """
        for method in route.methods:
            operation = place.documented, method.lower()
            if operation not in self.routes:
                self.routes[operation] = route
                if others:
                    self._others[operation] = others

    def beside(self) -> Iterator[tuple[tuple[str, str], list[Beside]]]:
        """What operations need of other guards, as the document will say it."""
        for operation, others in self._others.items():
            yield (
                operation,
                [Beside(one.scheme_name, _scheme_of(one), needed, either) for one, needed, either in others],
            )


def needed_of_others(place: Place, declared: Declared, where: str) -> list[Other]:
    """What a route needs of other guards: they decide for themselves, and the document tells of it.

    Args:
        place: the route.
        declared: what it declares.
        where: its name for messages.

    Raises:
        ConfigurationError: a scope is not in the other guard's catalog.
    """
    found: list[Other] = []
    tree: Any = place.dependant
    for other in declared.others:
        if isinstance(other, Guard):
            theirs = Declared()
            read_tree(other, tree, theirs, where)
            needed = [one for _, one in (*theirs.parts, *theirs.optional) if one is not None]
            found.append((other, combine(needed, other.catalog, where=where)[0], not theirs.parts))
    return found


def _scheme_of(guard: Any) -> dict[str, Any]:
    scheme: dict[str, Any] = guard.model.model_dump(by_alias=True, exclude_none=True, mode="json")
    return scheme


class Document:
    """Stands in for an application's `openapi`, and makes its document true.

    Args:
        app: the application.
        write: what writes the document: FastAPI's `openapi`, or the application's own.
        protection: knows what the operations need; it is not kept alive, for an application may be mounted in several.
    """

    def __init__(self, app: Any, write: Callable[[], dict[str, Any]], protection: Any) -> None:
        self._app = weakref.ref(app)
        self._write = write
        self._protection = weakref.ref(protection)
        self._described: tuple[Any, Any] | None = None

    def __call__(self) -> dict[str, Any]:
        """The document, with the security of each operation written from the plan."""
        protection, app = self._protection(), self._app()
        plan = protection.settle() if protection is not None else None
        schema = self._write()
        operations = protection.adapter.operations_of(app) if protection is not None else None
        # FastAPI keeps its document until routes change.
        if protection is None or operations is None:
            return schema
        if self._described is None or self._described[0] is not schema or self._described[1] is not plan:
            guard = protection.guard
            routes = ((path, method, route) for (path, method), route in operations.routes.items())
            describe(schema, routes, guard.scheme_name, _scheme_of(guard), dict(operations.beside()))
            self._described = (schema, plan)
        return schema

    def belongs_to(self, protection: Any) -> bool:
        """Whether it is written from this protection's plan."""
        return self._protection() is protection

    @property
    def plain(self) -> Callable[[], dict[str, Any]]:
        """What writes the document, without documents of applications that are gone."""
        write = self._write
        return write.plain if isinstance(write, Document) and write._protection() is None else write  # noqa: SLF001
