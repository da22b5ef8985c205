"""Which IP addresses are public: everyone can reach them, and not only this network."""

from ipaddress import ip_address, ip_network

UNICAST = ip_network("2000::/3")
NEVER = [
    ip_network(network)
    for network in (
        "2002::/16", "2001::/32", "192.88.99.0/24",  # 6to4, Teredo and a relay: an IPv4 address is inside
        "192.0.0.0/24", "3fff::/20",  # special ones that older Pythons take for global
        "168.63.129.16/32",  # Azure's own services, for machines there
    )
]  # fmt: skip


class NotAnAddress(ValueError):
    pass


def is_public(address: str) -> bool:
    """Raises NotAnAddress for another text, such as a host's name."""
    try:
        found = ip_address(address)
    except ValueError as error:
        raise NotAnAddress(address) from error
    if found.is_multicast or any(found in network for network in NEVER):
        return False
    return found.is_global and (found.version == 4 or found in UNICAST)
