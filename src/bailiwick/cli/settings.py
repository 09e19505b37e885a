"""What the operator decided: options before `BAILIWICK_*` variables before bailiwick.toml before defaults.

`serve` and every other command that touches the authority read the same settings in the same way.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from bailiwick.errors import ConfigurationError
from bailiwick.scopes import Catalog, ScopeSet

from .ending import reason
from .logs import Format, Level

if TYPE_CHECKING:
    from bailiwick.server import AuthorizationServer, KeyEncryptionKey, Settings

__all__ = ["FILE", "OTHER_VARIABLES", "PREFIX", "TABLES", "Configured", "load", "unknown_variables"]

PREFIX: Final = "BAILIWICK_"
FILE: Final = "bailiwick.toml"
# Variables that are no settings, and what they are.
OTHER_VARIABLES: Final[Mapping[str, str]] = {
    "BAILIWICK_SETTINGS": "the settings file, where it is not bailiwick.toml in the current folder",
    "BAILIWICK_DEMO_PASSWORD": "for `bailiwick run`: the password of alice, erin and root",
    "BAILIWICK_DEMO_SECRET": "for `bailiwick run`: the secret of demo-service",
}
# Entries of the file that name files; relative ones are meant from the file's folder.
_PATHS: Final = ("catalog", "key_encryption_key_file")


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ResourceEntry(_Entry):
    """An API that tokens are for."""

    identifier: str
    scopes: list[str] | None = None


class RegistrationEntry(_Entry):
    """Who may register clients (RFC 7591)."""

    ceiling: list[str]
    default: list[str] | None = None
    initial_tokens: list[str] = Field(default=[], repr=False)
    quota: int = 100
    grants: list[str] | None = None
    share_public: bool = False


class DocumentsEntry(_Entry):
    """Which clients may describe themselves in a document at their own address."""

    ceiling: list[str]
    default: list[str] | None = None
    hosts: list[str] = []
    min_age: int = 300
    max_age: int = 86_400
    loopback: bool = False


class UnfinishedEntry(_Entry):
    """How many requests may wait for a person at once."""

    client: int = 50
    network: int = 200
    everybody: int = 10_000
    confidential: int = 5_000


Seconds = Annotated[float, Field(gt=0)]


class ConnectionsEntry(_Entry):
    """How long a connection may keep the server waiting, and how many there may be."""

    head: Seconds = 10
    body: Seconds = 30
    answer: Seconds = 30
    most: Annotated[int, Field(ge=8)] = 4096


# The tables of the file with what may stand in each.
TABLES: Final[Mapping[str, type[BaseModel]]] = {
    "resources": ResourceEntry,
    "registration": RegistrationEntry,
    "metadata_documents": DocumentsEntry,
    "unfinished": UnfinishedEntry,
    "connections": ConnectionsEntry,
}


class Configured(BaseSettings):
    """The settings of one authority, as they were found. What `Settings` takes under the same name is explained there.

    Args:
        issuer: the authority's identifier, the URL under which its endpoints stand; there is no default.
        catalog: the TOML file of scopes and roles.
        store: the SQLite file that keeps people, clients, keys and tokens: a name, or `sqlite:///name`.
        host: the address that `bailiwick serve` listens on.
        port: the port that it listens on, 0 to 65535; 0 takes a free one.
        log_level: the least that `bailiwick serve` logs of itself and of requests; "info" has each request and each refusal
            with its detail and its id.
        log_format: lines for people, or JSON documents for programs, one a line.
        log_lines: how many lines a second of the same logger and level are written for long; 500 may come at once, and the log
            says how many were left out. 0 sets no bound: then whoever is refused often fills the disk.
        profile: the lifetimes to begin with; `[lifetimes]` replaces single ones.
        attempts: the address of a Redis in which several processes count wrong guesses together, such as
            "redis://localhost:6379/0" (needs `bailiwick[redis]`); without, each counts in its own memory.
        key_encryption_key: 32 random bytes, as 64 hex digits or base64, under which signing keys are encrypted at rest; from
            the variable alone, never from the file.
        key_encryption_key_file: the file of such a key, readable by its owner alone; instead of `key_encryption_key`.
        former_key_encryption_key_files: files of earlier ones; what they sealed is sealed anew when it is next read.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    issuer: str = ""
    audience: str = ""
    catalog: Path = Path("catalog.toml")
    store: str = "authority.db"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    log_level: Level = "info"
    log_format: Format = "text"
    log_lines: Annotated[int, Field(ge=0)] = 10
    profile: Literal["balanced", "strict"] = "balanced"
    lifetimes: dict[str, int] = {}
    resources: list[ResourceEntry] = []
    registration: RegistrationEntry | None = None
    signing_algorithm: Literal["ES256", "RS256", "EdDSA", "HS256"] = "ES256"
    issue_wildcards: bool = False
    password_min_length: int = 8
    require_pushed: bool = False
    client_certificates: bool = False
    metadata_documents: DocumentsEntry | None = None
    purge_every: int = 3600
    trusted_proxies: list[str] = []
    unfinished: UnfinishedEntry = UnfinishedEntry()
    connections: ConnectionsEntry = ConnectionsEntry()
    public_revocations: bool = False
    attempts: SecretStr | None = None
    key_encryption_key: SecretStr | None = None
    key_encryption_key_file: Path | None = None
    former_key_encryption_key_files: list[Path] = []

    def read_catalog(self) -> Catalog:
        """The scopes that exist, and the roles that a new store begins with.

        Raises:
            ConfigurationError: the file cannot be read, or is no catalog.
        """
        try:
            text = self.catalog.read_text(encoding="utf-8")
        except FileNotFoundError as bad:
            raise ConfigurationError(
                f"There is no catalog {str(self.catalog)!r}. Name it with --catalog, {PREFIX}CATALOG or catalog in "
                f"{FILE}, or make one with: bailiwick init"
            ) from bad
        except (OSError, UnicodeDecodeError) as bad:
            raise ConfigurationError(f"The catalog {str(self.catalog)!r} cannot be read: {reason(bad)}.") from bad
        try:
            return Catalog.from_toml(text)
        except ConfigurationError as bad:
            raise ConfigurationError(f"In {str(self.catalog)!r}: {bad.description}", id=bad.id) from bad

    def authority_settings(self) -> Settings:
        """What the authority is told.

        Raises:
            ConfigurationError: there is no issuer, or a value would be dangerous.
        """
        from bailiwick.server import BALANCED, STRICT, MetadataDocuments, Registration, Resource, Settings, Unfinished

        if not self.issuer:
            raise ConfigurationError(
                f"The authority has no issuer. Name it with --issuer, {PREFIX}ISSUER or issuer in {FILE}, "
                "or begin with: bailiwick init"
            )
        base = STRICT if self.profile == "strict" else BALANCED
        known = {one.name for one in fields(base)}
        if unknown := sorted(self.lifetimes.keys() - known):
            raise ConfigurationError(
                f"There is no lifetime {unknown[0]!r} in [lifetimes]. Known are: {', '.join(sorted(known))}."
            )
        entry, described = self.registration, self.metadata_documents
        return Settings(
            self.issuer,
            self.audience,
            tuple(
                Resource(one.identifier, ScopeSet(one.scopes) if one.scopes is not None else None)
                for one in self.resources
            ),
            replace(base, **self.lifetimes),
            signing_algorithm=self.signing_algorithm,
            issue_wildcards=self.issue_wildcards,
            password_min_length=self.password_min_length,
            require_pushed=self.require_pushed,
            client_certificates=self.client_certificates,
            trusted_proxies=tuple(self.trusted_proxies),
            purge_every=self.purge_every,
            unfinished=Unfinished(**self.unfinished.model_dump()),
            public_revocations=self.public_revocations,
            metadata_documents=None
            if described is None
            else MetadataDocuments(
                ScopeSet(described.ceiling),
                ScopeSet(described.default) if described.default is not None else None,
                tuple(described.hosts),
                described.min_age,
                described.max_age,
                loopback=described.loopback,
            ),
            registration=None
            if entry is None
            else Registration(
                ScopeSet(entry.ceiling),
                ScopeSet(entry.default) if entry.default is not None else None,
                tuple(entry.initial_tokens),
                entry.quota,
                share_public=entry.share_public,
                **({} if entry.grants is None else {"grants": tuple(entry.grants)}),
            ),
        )

    def seals(self) -> list[KeyEncryptionKey]:
        """The key-encryption keys, the one that seals first.

        Raises:
            ConfigurationError: two were given as the first one, or one cannot be read (BW110).
        """
        from bailiwick.server import KeyEncryptionKey

        if self.key_encryption_key is not None and self.key_encryption_key_file is not None:
            raise ConfigurationError("Give key_encryption_key or key_encryption_key_file, not both.", id="BW110")
        former = [KeyEncryptionKey.from_file(path) for path in self.former_key_encryption_key_files]
        if self.key_encryption_key is not None:
            return [KeyEncryptionKey.from_text(self.key_encryption_key.get_secret_value()), *former]
        if self.key_encryption_key_file is not None:
            return [KeyEncryptionKey.from_file(self.key_encryption_key_file), *former]
        if former:
            raise ConfigurationError("Former key-encryption keys need a present one, which seals anew.", id="BW110")
        return []

    def server(self, *, counting: bool = True) -> AuthorizationServer:
        """The authority, not opened yet.

        Args:
            counting: whether anybody will guess at it; without, what counts guesses in Redis is left alone.

        Raises:
            ConfigurationError: something of the settings is missing or wrong.
        """
        from bailiwick.server import AuthorizationServer

        settings = self.authority_settings()
        return AuthorizationServer(
            self.read_catalog(),
            issuer=settings.issuer,
            store=self.store,
            settings=settings,
            seals=self.seals(),
            attempts=self.attempts.get_secret_value() if self.attempts is not None and counting else None,
        )


def load(given: Mapping[str, Any], file: Path | None = None) -> Configured:
    """Read the settings.

    Args:
        given: what the command's options say; None where they say nothing.
        file: the settings file; None for the one that BAILIWICK_SETTINGS names, or bailiwick.toml in the
            current folder if it is there.

    Raises:
        ConfigurationError: the file cannot be read, or a setting is unknown or has a wrong value. No value
            is repeated.
    """
    document = _document(file)

    class Read(Configured):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - ditto
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=document)

    try:
        return Read(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as bad:
        found = bad.errors(include_url=False, include_input=False)
        # A misspelt name is the reason why the right one is missing.
        wrong = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
        raise ConfigurationError(_said(wrong["loc"], wrong["type"], wrong.get("ctx", {}), given)) from None
    except ValueError as bad:
        # SettingsError, of variables; its text names the field, and the value stays out of ours.
        field = re.search(r'field "(\w+)"', str(bad))
        name = f"{PREFIX}{field[1].upper()}" if field else "A setting"
        raise ConfigurationError(f"{name} holds a list or a table, written as JSON.") from None


# What belongs where pydantic found something else, by the first word of its error's type.
_BELONGS: Final[Mapping[str, str]] = {
    "int": "is a whole number",
    "bool": "is true or false",
    "string": "is text",
    "list": "is a list",
    "path": "is the name of a file",
    "dict": "is a table",
    "model": "is a table",
    "missing": "is missing",
}
_LISTED: Final[Mapping[str, str]] = {"string": "texts", "path": "names of files", "model": "tables"}
_SECONDS: Final = "is a number of seconds above 0"
_BOUNDED: Final[Mapping[str, str]] = {
    "port": "is a whole number from 0 to 65535",
    "log_lines": "is a whole number, 0 or above",
    "head": _SECONDS,
    "body": _SECONDS,
    "answer": _SECONDS,
    "most": "is a whole number of at least 8",
}


def _said(where: Sequence[int | str], kind: str, context: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """What is wrong with a setting, in words for whoever wrote it; its value is not repeated.

    Args:
        where: the way to it: the table in which it stands, if it does, its name, its place in a list.
        kind: the type of pydantic's error.
        context: what it says besides.
        options: by name, those that the command takes.
    """
    names = [part for part in where if isinstance(part, str)]
    table, name = (names[0], names[1]) if len(names) > 1 else ("", names[0])
    # A list of tables comes as a whole from one variable, a table's entries from one each.
    repeated = table == "resources"
    place = repr(name) + (f" in [[{table}]]" if repeated else f" in [{table}]" if table else "")
    if kind == "extra_forbidden":
        known = TABLES[table].model_fields if table else Configured.model_fields
        return f"There is no setting {place}. Known are: {', '.join(sorted(known))}."
    if isinstance(where[-1], int):
        belongs = f"is a list of {_LISTED.get(kind.partition('_')[0], 'something else')}"
    elif kind == "literal_error":
        belongs = f"is {context['expected']}"
    else:
        belongs = _BOUNDED.get(name) or _BELONGS.get(kind.partition("_")[0], "is wrong")
    variable = PREFIX + (table if repeated else f"{table}__{name}" if table else name).upper()
    option = f"--{name}, " if not table and name in options else ""
    return f"The setting {place} {belongs} ({option}{variable} or {FILE})."


def _document(file: Path | None) -> dict[str, Any]:
    named = file or (Path(os.environ["BAILIWICK_SETTINGS"]) if os.environ.get("BAILIWICK_SETTINGS") else None)
    path = named or Path(FILE)
    if named is None and not path.exists():
        return {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as bad:
        raise ConfigurationError(f"The settings {str(path)!r} are not valid TOML: {bad}.") from bad
    except (OSError, UnicodeDecodeError) as bad:
        raise ConfigurationError(f"The settings {str(path)!r} cannot be read: {reason(bad)}.") from bad
    if "key_encryption_key" in document:
        # This file lies beside the store and in version control; a key in it protects nothing.
        raise ConfigurationError(
            f"The settings {str(path)!r} hold key_encryption_key itself; name its file with key_encryption_key_file, "
            f"or give it as {PREFIX}KEY_ENCRYPTION_KEY.",
            id="BW110",
        )
    return _from_folder(document, path.parent)


def _from_folder(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The document with its relative paths seen from its own folder, wherever the command was called."""
    seen = dict(document)
    for name in _PATHS:
        if isinstance(seen.get(name), str):
            seen[name] = folder / seen[name]
    former = seen.get("former_key_encryption_key_files")
    if isinstance(former, list):
        seen["former_key_encryption_key_files"] = [folder / one if isinstance(one, str) else one for one in former]
    store = seen.get("store")
    if isinstance(store, str) and store and store != ":memory:" and "://" not in store:
        seen["store"] = str(folder / store)
    return seen


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Variables that look like settings and are none: a misspelt name changes nothing, and nobody is told."""
    known = {f"{PREFIX}{name.upper()}" for name in Configured.model_fields}
    return sorted(
        name
        for name in environment
        if name.upper().startswith(PREFIX)
        and name.upper().partition("__")[0] not in known
        and name not in OTHER_VARIABLES
    )
