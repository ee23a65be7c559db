"""Whether large tests run whole: with the environment variable D2SFM_ALL_TESTS set, otherwise a part of each does."""

import os

ALL_TESTS = bool(os.environ.get("D2SFM_ALL_TESTS"))
