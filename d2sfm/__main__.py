"""``python -m d2sfm`` is the command ``d2sfm``."""

import sys

from d2sfm.cli import main

if __name__ == "__main__":
    sys.exit(main())
