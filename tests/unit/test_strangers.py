"""Which addresses of strangers are called, and which are not."""

import pytest

from backroom.outbound import strangers
from backroom.outbound.public_addresses import is_public

PUBLIC = ["93.184.216.34", "1.1.1.1", "192.0.1.1", "2606:2800:220:1::1", "2a00:1450:4001:81b::200e"]
OTHERS = {
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12:3456::1"],
    "link-local": ["169.254.169.254", "fe80::1", "fe80::1%eth0"],
    "special": ["192.0.0.8", "192.0.0.192", "192.0.0.255", "168.63.129.16"],
    "shared by carriers": ["100.64.0.1", "100.127.255.255"],
    "of no host": ["0.0.0.1", "0.1.2.3", "::", "255.255.255.255", "240.0.0.1"],
    "multicast": ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"],
    "for tests and documents": ["192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    "IPv4 in IPv6": ["::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1"],
    "tunnels": ["2002:7f00:1::1", "2001:0:4136:e378::1", "192.88.99.1"],
    "former": ["fec0::1", "5f00::1"],
}


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_called(address):
    assert is_public(address)


@pytest.mark.parametrize("kind", OTHERS)
def test_any_other_address_is_not_called(kind):
    assert [address for address in OTHERS[kind] if is_public(address)] == []


@pytest.mark.parametrize(
    "url",
    ["https://example.com/hooks?token=1", "https://example.com:8443/", "https://bücher.example/", "https://[2606:2800::1]/"],
)  # fmt: skip
def test_an_address_with_tls_is_good(url):
    strangers.check(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.com/", "https"),
        ("ftp://example.com/", "complete"),
        ("https:///hooks", "complete"),
        ("example.com", "complete"),
        ("https://example.com:99999/", "complete"),
        ("https://me:secret@example.com/", "password"),
        ("https://127.0.0.1/", "public host"),
        ("https://[::1]/", "public host"),
        ("https://[::ffff:10.0.0.1]:8443/", "public host"),
        ("https://169.254.169.254/latest/meta-data", "public host"),
        ("https://example.com:22/", "port"),
        ("http://127.0.0.1:8101/", "https"),
    ],
)
def test_an_address_that_is_never_called_is_refused_with_a_sentence(settings, url, why):
    settings.BACKROOM_STRANGERS_ALLOW = ["127.0.0.1:8100"]
    with pytest.raises(strangers.NotCallable, match=why):
        strangers.check(url)


def test_an_exception_needs_neither_tls_nor_a_public_address(settings):
    settings.BACKROOM_STRANGERS_ALLOW = ["127.0.0.1:8100", "partners:8100"]
    strangers.check("http://127.0.0.1:8100/receiver/one")
    strangers.check("http://partners:8100/receiver/one")
