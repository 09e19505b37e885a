"""The scopes that the authority and the API of these processes share."""

from bailiwick import Catalog, Role, Scope

CATALOG = Catalog(
    [Scope("notes:read", "Read notes"), Scope("notes:write", "Write notes"), Scope("notes:share", "Share notes")],
    roles=[Role("writer", ["notes:*"])],
)
