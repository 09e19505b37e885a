"""The addresses that are no place on the public Internet, or lead from it to somewhere else: a table, the same on every Python.

`ipaddress.is_global` follows the registries at the pace of each Python's releases, and leaves out what they call globally
reachable: anycast addresses that the nearest gateway answers, and prefixes that carry an IPv4 address inside.

Source: the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890), every entry, whatever they say of it, those of
RFC 9637, 9602 and 9780 included; the rest as told beside it.
https://www.iana.org/assignments/iana-ipv4-special-registry, https://www.iana.org/assignments/iana-ipv6-special-registry
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network
from typing import Final

__all__ = ["IPV4", "IPV6", "is_special"]

IPV4: Final = {
    "0.0.0.0/8": "this network (RFC 791)",
    "10.0.0.0/8": "private use (RFC 1918)",
    "100.64.0.0/10": "shared address space (RFC 6598)",
    "127.0.0.0/8": "loopback (RFC 1122)",
    "169.254.0.0/16": "link local (RFC 3927), the cloud's metadata service among it",
    "172.16.0.0/12": "private use (RFC 1918)",
    "192.0.0.0/24": "IETF protocol assignments (RFC 6890), NAT64 discovery and the nearest gateway among them",
    "192.0.2.0/24": "documentation (RFC 5737)",
    "192.31.196.0/24": "AS112-v4 (RFC 7535)",
    "192.52.193.0/24": "AMT (RFC 7450)",
    "192.88.99.0/24": "deprecated 6to4 relay anycast (RFC 7526), 6a44 relay anycast (RFC 6751)",
    "192.168.0.0/16": "private use (RFC 1918)",
    "192.175.48.0/24": "direct delegation AS112 service (RFC 7534)",
    "198.18.0.0/15": "benchmarking (RFC 2544)",
    "198.51.100.0/24": "documentation (RFC 5737)",
    "203.0.113.0/24": "documentation (RFC 5737)",
    "240.0.0.0/4": "reserved (RFC 1112), limited broadcast (RFC 8190) among it",
    # Not in that registry.
    "224.0.0.0/4": "multicast (RFC 5771)",
    "168.63.129.16/32": "the host of a virtual machine on Azure, its metadata among it; public by its number alone",
}

IPV6: Final = {
    "::1/128": "loopback (RFC 4291)",
    "::/128": "unspecified (RFC 4291)",
    "::ffff:0:0/96": "IPv4-mapped (RFC 4291)",
    "64:ff9b::/96": "IPv4-IPv6 translation, NAT64 (RFC 6052)",
    "64:ff9b:1::/48": "IPv4-IPv6 translation, NAT64 (RFC 8215)",
    "100::/64": "discard only (RFC 6666)",
    "100:0:0:1::/64": "dummy prefix (RFC 9780)",
    "2001::/23": "IETF protocol assignments (RFC 2928): Teredo (RFC 4380), benchmarking, AMT, AS112, ORCHID and others",
    "2001:db8::/32": "documentation (RFC 3849)",
    "2002::/16": "6to4 (RFC 3056)",
    "2620:4f:8000::/48": "direct delegation AS112 service (RFC 7534)",
    "3fff::/20": "documentation (RFC 9637)",
    "5f00::/16": "segment routing (RFC 9602)",
    "fc00::/7": "unique local (RFC 4193)",
    "fe80::/10": "link local unicast (RFC 4291)",
    # Not in that registry.
    "::/96": "IPv4-compatible (RFC 4291 section 2.5.5.1)",
    "::ffff:0:0:0/96": "IPv4-translated (RFC 2765)",
    "fec0::/10": "site local (RFC 3879)",
    "ff00::/8": "multicast (RFC 4291)",
}

_V4: Final = tuple(ip_network(one) for one in IPV4)
_V6: Final = tuple(ip_network(one) for one in IPV6)
# Nothing else is assigned to anybody as a global unicast address (IANA IPv6 Address Space; RFC 4291 section 2.4).
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
# The middle of an ISATAP address, before the IPv4 address to which a router on the way takes it (RFC 5214 section 6.1).
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})


def is_special(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is none of the public Internet, or hides another one that a gateway may take out of it."""
    if isinstance(address, IPv4Address):
        return any(address in network for network in _V4)
    if address.scope_id or address not in _GLOBAL_UNICAST:
        return True
    return (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP or any(address in network for network in _V6)
