"""The data key of a machine that was given none: made once, kept in a file only its owner can read."""

import base64
import binascii
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from service.core.secret import Secret

KEY_BYTES = 32


def local_data_key(
    data_dir: Path, draw: Callable[[int], bytes] = secrets.token_bytes, sync: Callable[[int], None] = os.fsync
) -> Secret:
    """The key in `data_dir/data.key` (base64), made when there is none. Whoever loses it loses what it encrypts.

    The file appears whole or not at all, and once: of several processes that begin together all have the first one's key, and
    one that is killed while it writes leaves none behind that could not be read. Nobody has it before its name is on disk too:
    a database that outlives a power cut must not hold rows of a key that does not."""
    new = [one for one in (data_dir, *data_dir.parents) if not one.exists()]
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / "data.key"
    if not path.exists():
        with NamedTemporaryFile("w", dir=data_dir, prefix="data.key.") as draft:  # for its owner alone
            draft.write(base64.b64encode(draw(KEY_BYTES)).decode())
            draft.flush()
            sync(draft.fileno())
            with suppress(FileExistsError):
                os.link(draft.name, path)
    for directory in (data_dir, *(one.parent for one in new)):  # whoever made the file may not have come this far
        _sync(directory, sync)
    return Secret(path.read_text().strip())


def _sync(directory: Path, sync: Callable[[int], None]) -> None:
    """Names are the directory's: they last when it is on disk, whatever became of their files."""
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync(opened)
    finally:
        os.close(opened)


def key_bytes(key: Secret) -> bytes:
    """The 32 bytes of a base64 data key. Raises ValueError, without repeating it, when it is none."""
    try:
        decoded = base64.b64decode(key.reveal(), validate=True)
    except binascii.Error:
        decoded = b""
    if len(decoded) != KEY_BYTES:
        raise ValueError("ILIM_DATA_KEY must be 32 bytes as base64: `openssl rand -base64 32` makes one")
    return decoded
