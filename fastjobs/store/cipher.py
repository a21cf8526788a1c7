"""Encrypts and decrypts with AES-256-GCM; loaded once there are keys to encrypt with, it needs the extra `crypto`."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fastjobs.errors import UntrustedChunk

#: Each content has a key of its own, so a nonce has nothing to distinguish.
_NONCE = bytes(12)


def encrypt(key: bytes, content: bytes) -> bytes:
    """Encrypts one content with a key of 32 bytes that is used for no other."""
    return AESGCM(key).encrypt(_NONCE, content, None)


def decrypt(key: bytes, content: bytes) -> bytes:
    """Decrypts what was encrypted with the key.

    Raises:
        UntrustedChunk: it was not.
    """
    try:
        return AESGCM(key).decrypt(_NONCE, content, None)
    except (InvalidTag, ValueError) as error:
        raise UntrustedChunk("it cannot be decrypted: it was changed") from error
