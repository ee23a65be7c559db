"""A scheduler of Dask at an address: whether it can be asked for, who else can ask it, and what workers it has."""

import logging
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

ENCRYPTED = ("tls", "wss")

logger = logging.getLogger(__name__)


def require_address(address: str) -> None:
    """ValueError for an address that Dask's client would raise on halfway: what it had begun then holds up the end of
    the process for a minute."""
    from distributed.comm.registry import get_backend
    from distributed.security import Security

    parts = _parts(address)
    get_backend(parts.scheme)  # raises if there is no such scheme
    if not parts.hostname or parts.port is None:
        raise ValueError(f"the address of a scheduler is tls://HOST:PORT, found {address!r}")
    if parts.scheme in ENCRYPTED and Security().get_connection_args("client")["ssl_context"] is None:
        raise ValueError(
            f"{address} needs certificates: name them in Dask's configuration (distributed.comm.tls.ca-file, "
            "distributed.comm.tls.client.cert and .key)"
        )


def warn_of_open(address: str) -> None:
    """Dask runs whatever is sent to it: who can reach a scheduler or a worker has the account that it runs under."""
    parts = _parts(address)
    is_here = parts.hostname in ("localhost", "::1") or (parts.hostname or "").startswith("127.")
    if parts.scheme not in ENCRYPTED and not is_here:
        logger.warning(
            "%s is not encrypted, and Dask runs whatever a client sends: use it only where you trust everybody, "
            "or give the cluster certificates and a tls:// address",
            address,
        )


def tell_of_workers(address: str, threads: Mapping[str, int]) -> None:
    """Say it where a scheduler has no workers, or such that have several threads; threads: of each, by address."""
    if not threads:
        logger.info("%s has no workers yet: the work begins when one comes", address)
    elif max(threads.values()) > 1:
        logger.warning(
            "workers of %s have several threads, of which one is used: start them with --nthreads 1", address
        )


def _parts(address: str) -> SplitResult:
    return urlsplit(address if "://" in address else f"tcp://{address}")
