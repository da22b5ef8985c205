"""The client's address, as limits and security events name it."""

from ipaddress import IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

from backroom.conf import conf

V6_CUSTOMER = 64  # bits: a customer has a whole network of them


def client_of(request: HttpRequest) -> str:
    """The address of the connection, or the last one in the header of the trusted proxy, BACKROOM_CLIENT_HEADER: the
    client itself may have sent the others. "" if it is unknown, as behind a proxy without that setting."""
    address = request.META.get("REMOTE_ADDR", "")
    if conf.CLIENT_HEADER:
        address = request.headers.get(conf.CLIENT_HEADER, address)
    elif settings.SECURE_PROXY_SSL_HEADER:
        return ""
    return _customer(address.rpartition(",")[2].strip())


def _customer(address: str) -> str:
    try:
        found = ip_address(address)
    except ValueError:
        return ""
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or ip_network((int(found), V6_CUSTOMER), strict=False))
    return str(found)
