"""D2-Net's features and matches as hloc's files: ``python examples/features_for_hloc.py photos exported``.

The folder ``exported`` gets ``features.h5``, ``matches.h5`` and ``pairs.txt``, which hloc's ``reconstruction`` and
``localize_sfm`` read, and ``db.db``, of which they were made.
"""

import argparse
from pathlib import Path

from d2sfm import PairSelectionOptions, VerificationOptions, export_database, extract_to_database, match_database


def main() -> None:
    """Extract, match what looks alike, export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, help="folder")
    parser.add_argument("output", type=Path, help="folder to write")
    parser.add_argument("--num-neighbours", type=int, default=20, help="photographs that each is matched with")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    database = arguments.output / "db.db"
    alike = PairSelectionOptions(pairs="retrieval", num_neighbours=arguments.num_neighbours)
    print(extract_to_database(database, arguments.photographs, progress=True))
    print(match_database(database, pairs=alike, verification=VerificationOptions(), progress=True))
    print(export_database(database, arguments.output))


if __name__ == "__main__":
    main()
