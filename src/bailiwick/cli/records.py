"""What the commands say of each record, under names that stay the same. Never a digest, a hash or a key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .output import moment

if TYPE_CHECKING:  # so that --help loads no authority
    from bailiwick.authority.records import Account, Authorization, Client, Event, Family, RoleRecord, StoredKey

__all__ = ["account", "authorization", "client", "event", "family", "key", "role"]


def account(one: Account) -> dict[str, Any]:
    """A person."""
    return {
        "id": one.id,
        "name": one.name,
        "roles": sorted(one.roles),
        "scopes": list(one.grants),
        "has_password": one.password is not None,
        "disabled": one.disabled_at is not None,
        "created_at": moment(one.created_at),
        "disabled_at": moment(one.disabled_at),
    }


def client(one: Client) -> dict[str, Any]:
    """A client."""
    return {
        "id": one.id,
        "name": one.name,
        "authentication": one.auth.value,
        "grants": sorted(grant.value for grant in one.grants),
        "scopes": list(one.ceiling),
        "default": list(one.default) if one.default is not None else None,
        "required": list(one.required),
        "redirects": list(one.redirects),
        "first_party": one.first_party,
        "introspects": sorted(one.introspects),
        "exchange_targets": sorted(one.exchange_targets),
        "follows_revocations": one.follows_revocations,
        "registered": one.registered,
        "disabled": one.disabled_at is not None,
        "created_at": moment(one.created_at),
        "disabled_at": moment(one.disabled_at),
    }


def role(one: RoleRecord, people: Sequence[Account]) -> dict[str, Any]:
    """A role, with how many people have it."""
    return {
        "name": one.name,
        "scopes": list(one.scopes),
        "people": sum(one.name in person.roles for person in people),
    }


def key(one: StoredKey) -> dict[str, Any]:
    """A signing key."""
    return {
        "kid": one.kid,
        "algorithm": one.alg,
        "state": one.state.value,
        "since": moment(one.changed_at),
        "created_at": moment(one.created_at),
        "sealed": one.sealed_with != "",
    }


def family(one: Family, names: Mapping[str, str]) -> dict[str, Any]:
    """A refresh token with its successors; `names` has people's names by their ids."""
    return {
        "id": one.id,
        "authorization": one.authorization,
        "user": names.get(one.subject, one.subject),
        "client": one.client,
        "resource": one.resource,
        "scopes": list(one.scopes),
        "created_at": moment(one.created_at),
        "expires_at": moment(one.expires_at),
    }


def authorization(one: Authorization, names: Mapping[str, str]) -> dict[str, Any]:
    """What a person lets a client do; `names` has people's names by their ids."""
    return {
        "id": one.id,
        "user": names.get(one.subject, one.subject),
        "client": one.client,
        "resource": one.resource,
        "scopes": list(one.live),
        "withdrawn": [
            {"scope": row.scope, "by": row.withdrawn_by, "at": moment(row.withdrawn_at)}
            for row in one.rows
            if row.withdrawn_at is not None
        ],
        "created_at": moment(one.created_at),
    }


def event(one: Event, names: Mapping[str, str]) -> dict[str, Any]:
    """A line of the journal; `names` has people's names by their ids."""
    return {
        "number": one.number,
        "at": moment(one.at),
        "what": one.what,
        "count": one.count,
        "until": moment(one.until or None),
        "actor": names.get(one.actor, one.actor),
        "user": names.get(one.subject, one.subject) or None,
        "client": one.client or None,
        "object": one.object or None,
        "detail": one.detail or None,
        "address": one.origin.address or None,
        "agent": one.origin.agent or None,
    }
