"""Encryption at rest: AES in EAX mode, as LangGraph's own serialiser writes it, by the one key of LANGGRAPH_AES_KEY."""

from __future__ import annotations

import base64
import hmac

from pydantic import SecretStr

from ..routing.errors import InputError

NAME = "aes"
"""What LangGraph calls the cipher in a stored value's type: `msgpack+aes`."""
NONCE_BYTES = TAG_BYTES = 16


class Cipher:
    """Encrypts, and refuses what was not encrypted with its key, or was changed since. Any thread may use it.

    Args:
        key: 16, 24 or 32 bytes.

    Raises:
        InputError: pycryptodome is not installed.
    """

    def __init__(self, key: bytes) -> None:
        try:
            import Crypto.Cipher.AES  # noqa: F401  # here, where it can be said what is missing
        except ImportError as error:
            raise InputError(
                "LANGGRAPH_AES_KEY is set, and pycryptodome is not installed: pip install 'ymera[encryption]'."
            ) from error
        self._key = key

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        """Return the name of the cipher, and the encrypted bytes."""
        from Crypto.Cipher import AES

        cipher = AES.new(self._key, AES.MODE_EAX, mac_len=TAG_BYTES)
        text, tag = cipher.encrypt_and_digest(plaintext)
        return NAME, cipher.nonce + tag + text

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        """Return what was encrypted.

        Raises:
            ValueError: it was encrypted with another key or in another way, or was changed since.
        """
        from Crypto.Cipher import AES

        if ciphername != NAME or len(ciphertext) < NONCE_BYTES + TAG_BYTES:
            raise ValueError("not encrypted as LANGGRAPH_AES_KEY asks")
        nonce, sealed = ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:]
        cipher = AES.new(self._key, AES.MODE_EAX, nonce=nonce, mac_len=TAG_BYTES)
        try:
            return cipher.decrypt_and_verify(sealed[TAG_BYTES:], sealed[:TAG_BYTES])
        except ValueError:
            raise ValueError("encrypted with another key, or changed since") from None

    def seal(self, text: str) -> str:
        """Return a text encrypted, as a text."""
        name, sealed = self.encrypt(text.encode())
        return f"{name}:{base64.b64encode(sealed).decode()}"

    def open(self, sealed: str) -> str:
        """Return the text that was sealed; errors as for `decrypt`."""
        name, _, text = sealed.partition(":")
        return self.decrypt(name, base64.b64decode(text)).decode()

    def mark(self, text: str) -> str:
        """Return a fingerprint that nobody can make, or confirm a guess by, without the key."""
        return hmac.digest(self._key, text.encode(), "sha256").hex()


def cipher_of(key: SecretStr | None) -> Cipher | None:
    """Return the cipher of a setting; None where nothing is to be encrypted."""
    return Cipher(key.get_secret_value().encode()) if key else None
