"""One TLS context for a process: reading the machine's certificate authorities takes longer than everything around it."""

import ssl
from functools import cache

import httpx


@cache
def verifying() -> ssl.SSLContext:
    """Verifies names and certificates against the bundled authorities. Shared by every client, and not to be changed."""
    return httpx.create_ssl_context(trust_env=False)
