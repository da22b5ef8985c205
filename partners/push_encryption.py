"""The payload of a push message, as a browser reads it: RFC 8291 over RFC 8188."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from partners.problems import Problem

HEADER = 16 + 4 + 1 + 65  # bytes: salt, record size, length of the key, key
END = "\x02"  # of the last record; zeros may follow
UNREADABLE = "The browser can't decrypt this message."


def base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def raw_key(text: str) -> ec.EllipticCurvePublicKey:
    """A public key in base64url. Raises ValueError."""
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), urlsafe_b64decode(text + "=="))


def decrypt(body: bytes, private_key: bytes, auth: bytes) -> str:
    """The text of a message that is one record. Raises Problem 400."""
    salt, key_id, record = body[:16], body[21:HEADER], body[HEADER:]
    if len(body) < HEADER + 17 or body[20] != 65 or len(record) > int.from_bytes(body[16:20], "big"):
        raise Problem(400, UNREADABLE)
    try:
        key, nonce = derive(private_key, auth, salt, key_id)
        text = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\0").decode()
    except (ValueError, InvalidTag):
        raise Problem(400, UNREADABLE) from None
    if not text.endswith(END):
        raise Problem(400, UNREADABLE)
    return text[:-1]


def derive(private_key: bytes, auth: bytes, salt: bytes, sender: bytes) -> tuple[bytes, bytes]:
    """The content encryption key and the nonce."""
    browser = ec.derive_private_key(int.from_bytes(private_key), ec.SECP256R1())
    public = browser.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    shared = browser.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
    secret = hkdf(auth, shared, b"WebPush: info\0" + public + sender, 32)
    encodings = (b"Content-Encoding: aes128gcm\0", 16), (b"Content-Encoding: nonce\0", 12)
    key, nonce = (hkdf(salt, secret, info, length) for info, length in encodings)
    return key, nonce


def hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(secret)
