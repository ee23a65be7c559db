"""What a worker on this machine begins with: Dask imports this in each one, before any work."""

import os
import signal
from typing import Any

import dask


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C to the client, which ends its workers, and see one GPU, where there are any."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if count := dask.config.get("d2sfm.gpus"):
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[worker.name % count]
