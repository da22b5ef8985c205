"""A stranger's server on this machine. It answers as it is made to, byte by byte, and keeps what came."""

import datetime
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PAUSE = 0.1  # seconds, for each b"<pause>" in an answer


def reply(status: int = 204, body: bytes = b"", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


class Receiver:
    """`says` is the answer to each request; b"" is none, ever. `requests` are those that came."""

    def __init__(self, server: socket.socket, tls: ssl.SSLContext | None) -> None:
        self.server, self.tls = server, tls
        self.says = reply()
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = server.getsockname()[1]
        self.allowed = f"127.0.0.1:{self.port}"
        self.url = f"http{'s' if tls else ''}://{self.allowed}/hook"

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.answer, args=(client,), daemon=True).start()

    def answer(self, client: socket.socket) -> None:
        with suppress(OSError), client:  # the other side may have left
            if self.tls:
                client = self.tls.wrap_socket(client, server_side=True)
            self.requests.append(_request(client))
            says = self.says
            for number, piece in enumerate(says.split(b"<pause>")):
                time.sleep(PAUSE if number else 0)
                client.sendall(piece)
            if not says:
                client.recv(1)  # until the other side leaves


def _request(client: socket.socket) -> bytes:
    """The whole request, whose body has a length."""
    found = b""
    while b"\r\n\r\n" not in found and (piece := client.recv(65_536)):
        found += piece
    head, _, body = found.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0)
    while len(body) < length and (piece := client.recv(65_536)):
        body += piece
    return head + b"\r\n\r\n" + body


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        receiver = Receiver(server, tls)
        threading.Thread(target=receiver.serve, daemon=True).start()
        yield receiver


def certificate(folder: Path, *names: str, days: int = 1) -> tuple[ssl.SSLContext, Path]:
    """A server's context with a certificate for these names, signed by itself, and the file of that."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=3))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context, file
