"""The data key of a machine that was given none: made once, kept in a file only its owner can read."""

import base64
import binascii
import os
import secrets
from pathlib import Path

from service.core.secret import Secret

KEY_BYTES = 32


def local_data_key(data_dir: Path) -> Secret:
    """The key in `data_dir/data.key` (base64), made when there is none. Whoever loses it loses what it encrypts."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / "data.key"
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            handle.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode())
            handle.flush()
            os.fsync(handle.fileno())
    except FileExistsError:
        pass
    return Secret(path.read_text().strip())


def key_bytes(key: Secret) -> bytes:
    """The 32 bytes of a base64 data key. Raises ValueError, without repeating it, when it is none."""
    try:
        decoded = base64.b64decode(key.reveal(), validate=True)
    except binascii.Error:
        decoded = b""
    if len(decoded) != KEY_BYTES:
        raise ValueError("ILIM_DATA_KEY must be 32 bytes as base64: `openssl rand -base64 32` makes one")
    return decoded
