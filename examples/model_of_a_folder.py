"""A model of the photographs in a folder, stage by stage: ``python examples/model_of_a_folder.py photos model``.

The folder ``model`` gets the COLMAP database ``db.db`` and the models ``sparse/0``, ``1``, ..., best first. What each
stage did is printed. A run that was stopped continues with the same command.
"""

import argparse
from pathlib import Path

from d2sfm import VerificationOptions, extract_to_database, match_database, reconstruct, refine_database


def main() -> None:
    """Extract, match, refine, map."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, help="folder")
    parser.add_argument("output", type=Path, help="folder to write")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    database = arguments.output / "db.db"
    print(extract_to_database(database, arguments.photographs, progress=True))
    print(match_database(database, verification=VerificationOptions(), progress=True))
    print(refine_database(database, progress=True))
    print(reconstruct(database, arguments.output / "sparse", progress=True))


if __name__ == "__main__":
    main()
