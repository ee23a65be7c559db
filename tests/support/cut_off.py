"""Extraction by a worker in a network of its own, whose connection is cut in the middle of a piece.

    unshare --map-root-user --net python -m support.cut_off SWITCHES PHOTOGRAPHS DATABASE

All is done in networks of these processes alone. The worker that is cut off lives on, and so may end its piece; another
one, on this side, comes then. SWITCHES: see ``support.cluster_work``.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import dask
from distributed import LocalCluster
from support.cluster_work import begin_client
from support.photograph_folder import SMALL

from d2sfm.shards.cluster import cluster
from d2sfm.shards.cluster_extraction import extract_on_cluster

HERE, THERE = "10.9.8.1", "10.9.8.2"
WORKER = f"""
read python scheduler preload
ip link set lo up
ip addr add {THERE}/24 dev far
ip link set far up
"$python" -m distributed.cli.dask_worker "$scheduler" --host {THERE} --nthreads 1 --no-nanny --no-dashboard \\
    --preload "$preload" --local-directory "${{TMPDIR:-/tmp}}"
read wait
"""  # the last line keeps that network, and so this end of the cable, where the worker gives up early
GIVEN_UP = {"distributed.comm.timeouts.tcp": "12s", "distributed.scheduler.worker-ttl": "10s"}


def main(switches: Path, photographs: Path, database: Path) -> None:
    """Extract, and cut the connection when the first piece has begun."""
    logging.basicConfig(format="%(message)s")
    begin_client(switches)
    (switches / "held").touch()
    there = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", WORKER], stdin=subprocess.PIPE, text=True, process_group=0
    )
    try:
        link(there.pid)
        with (
            dask.config.set(GIVEN_UP),
            LocalCluster(n_workers=0, threads_per_worker=1, host=HERE, dashboard_address=f"{HERE}:0") as made,
            cluster(scheduler=made.scheduler_address) as workers,
        ):
            print(sys.executable, made.scheduler_address, switches / "preload.py", file=there.stdin, flush=True)
            threading.Thread(target=cut, args=(switches, made), daemon=True).start()
            extract_on_cluster(workers, database, photographs, options=SMALL)
    finally:
        os.killpg(there.pid, signal.SIGKILL)


def link(process: int) -> None:
    """Join the networks of this process and of another by a cable."""
    ip("link", "set", "lo", "up")
    ip("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", str(process))
    ip("addr", "add", f"{HERE}/24", "dev", "near")
    ip("link", "set", "near", "up")


def cut(switches: Path, made: LocalCluster) -> None:
    """Cut it when the first piece has begun there, and begin a worker here."""
    while not (switches / "held.begun").exists():
        time.sleep(0.05)
    ip("link", "set", "near", "down")
    made.scale(1)
    (switches / "held").unlink()


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
