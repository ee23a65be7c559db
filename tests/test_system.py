"""What the operating system gives, also one that has not the calls that Linux has for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from d2sfm import system
from d2sfm.system import network_file_system, processors, reserve

# Other packages are loaded before: they have ways of their own on each system. Python's filelock, too.
WITHOUT_POSIX = """
import importlib, os, pkgutil, signal, sys
import cv2, filelock, h5py, PIL.Image, pycolmap, scipy.optimize, scipy.spatial, torch.utils.data, tqdm
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
for name in dir(os):
    if name.startswith(("posix_", "sched_")) or name in ("fork", "killpg", "pread", "pwrite", "setsid", "statvfs"):
        delattr(os, name)
for name in ("pthread_sigmask", "pthread_kill", "SIGHUP", "SIGXFSZ"):
    delattr(signal, name)
"""
MODULES = """
import d2sfm, megadepth_utils
for package in (d2sfm, megadepth_utils):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            print(module.name)
"""
WHAT_DIFFERS = """
from multiprocessing import resource_tracker
from pathlib import Path
import pycolmap
from d2sfm.database import create_database, exclusive
from d2sfm.system import processors, reserve
from d2sfm.colmap import read_model
resource_tracker._HAVE_SIGMASK = False  # Windows starts none
create_database("db.db")
with exclusive("db.db"):
    try:
        with exclusive("db.db"):
            pass
    except RuntimeError as error:
        print(error)
with open("file", "wb") as file:
    reserve(file, 3_000_000)
print(os.stat("file").st_size)
print(processors() == os.cpu_count())
pycolmap.Reconstruction().write(".")
print(read_model(Path(".")).num_images())
"""


def without_posix(code, folder):
    """What the code prints in a Python that lacks what Windows lacks."""
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_POSIX + code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


@pytest.mark.slow
def test_every_module_can_be_imported(tmp_path):
    assert {"d2sfm.network.weights.download", "d2sfm.training.train", "d2sfm.colmap"} <= {
        *without_posix(MODULES, tmp_path)
    }


@pytest.mark.slow
def test_what_differs_between_systems_works(tmp_path):
    expected = ["db.db is in use by another run of d2sfm", "3000000", "True", "0"]
    assert without_posix(WHAT_DIFFERS, tmp_path) == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a process may use all processors here")
def test_processors_are_those_that_this_process_may_use():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert processors() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert processors() == len(before)


@pytest.mark.parametrize("size", [1, 3, 7])
def test_reserved_room_is_on_the_disk(tmp_path, monkeypatch, size):
    monkeypatch.setattr(system, "PIECE_BYTES", 3)
    for native in (True, False):
        if not native:
            monkeypatch.delattr(os, "posix_fallocate", raising=False)
        with (tmp_path / "file").open("wb") as file:
            reserve(file, size)
        assert (tmp_path / "file").read_bytes() == bytes(size)
        assert (tmp_path / "file").stat().st_blocks > 0


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/a/db.db", None),
        ("/shared/db.db", "nfs4"),
        ("/shared/local/db.db", None),
        ("/my disk/db.db", "cifs"),
        ("/far/db.db", "fuse.sshfs"),
    ],
)
def test_network_folders_are_known(monkeypatch, path, kind):
    mounts = (
        "/dev/sda / ext4 rw 0 0\nhost:/x /shared nfs4 rw 0 0\n/dev/sdb /shared/local xfs rw 0 0\n"
        "//host/x /my\\040disk cifs rw 0 0\nme@host: /far fuse.sshfs rw 0 0\n"
    )
    monkeypatch.setattr(Path, "read_text", lambda self, **_: mounts)
    assert network_file_system(Path(path)) == kind
