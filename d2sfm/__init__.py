"""d2sfm: D2-Net features for COLMAP, from photographs to a reconstruction."""

# zlib must be loaded before pycolmap: its library exports deflate symbols of its own, and a zlib loaded
# after it binds to them and aborts the process at the first compressed write.
import zlib  # noqa: F401

__version__ = "0.1.0"
