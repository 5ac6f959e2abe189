"""Up, down, up on an empty database of a server made for this, then a comparison with the tables in the code."""

import shutil
import sys
import tempfile
from pathlib import Path

from service.infra import migrations
from service.infra.postgres import start
from service.infra.roles import OWNER


def main() -> int:
    home = Path(tempfile.mkdtemp(prefix="ilim-check-"))
    home.chmod(0o711)  # an unprivileged user must be able to pass, nobody to look
    try:
        with start(home) as server:
            url = server.url(OWNER)
            migrations.upgrade(url)
            migrations.downgrade(url, "base")
            migrations.upgrade(url)
            differences = migrations.differences(url)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(*differences, sep="\n", file=sys.stderr)
    return 1 if differences else 0


if __name__ == "__main__":
    raise SystemExit(main())
