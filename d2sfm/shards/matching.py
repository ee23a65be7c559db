"""Matches and two-view geometries of blocks of pairs, each in a file.

d2sfm match --shard 2/7 shards
"""

import shutil
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from d2sfm.database import FeatureStore
from d2sfm.database.pair_ids import pair_ids
from d2sfm.database.part_copy import copy_part, ids_of_images, is_whole, read_record, write_pair_rows
from d2sfm.files import replacing_file
from d2sfm.matching.settings import settings_of
from d2sfm.matching.summary import MatchSummary
from d2sfm.matching.work import check_options, match_some
from d2sfm.options import MatchingOptions, VerificationOptions
from d2sfm.parts import scratch_folder, sync
from d2sfm.shards import records
from d2sfm.shards.feature_block import FeatureBlock
from d2sfm.shards.folder import ShardFolder
from d2sfm.shards.pair_block import digest, digests, read_block
from d2sfm.shards.share import Share
from d2sfm.skipped import Skipped
from d2sfm.text import first_of


def match_shard(
    path: Path,
    share: Share,
    *,
    options: MatchingOptions | None = None,
    verification: VerificationOptions | None,
    progress: bool = False,
    num_threads: int | None = None,
) -> MatchSummary:
    """Match and verify the blocks of pairs of a share in the folder that all shares have.

    The arguments are those of ``match_database``, and the same for all shares. Blocks that are there are passed over,
    so a stopped run goes on. The summary is of the pairs of the share.

    Raises FileNotFoundError if there is no such folder, ValueError for wrong options and damaged blocks,
    RuntimeError if pairs are not chosen yet, or were matched with other options.
    """
    folder, options = ShardFolder(path), options or MatchingOptions()
    begin_matching(folder, options, verification)
    summary = MatchSummary(pairs=0, already_there=0, verified=None if verification is None else 0)
    for number in share.blocks(folder.pair_blocks):
        given = {"options": options, "verification": verification, "progress": progress, "num_threads": num_threads}
        add(summary, match_block(folder, number, **given))
    return summary


def begin_matching(folder: ShardFolder, options: MatchingOptions, verification: VerificationOptions | None) -> None:
    """Record with which options the pairs of a folder are matched, or raise RuntimeError if others were used."""
    check_options(options, verification)
    if not folder.pair_blocks:
        raise RuntimeError(f"{folder.path} has no pairs yet: run d2sfm pairs {folder.path}")
    records.write_first(folder.matching_record, settings := settings_of(options, verification))
    way_out = f"use the same, or remove {folder.matching_record.name} and the blocks matches-*.db"
    records.require_same(folder.path, records.read_record(folder.matching_record), settings, way_out)


def match_block(
    folder: ShardFolder,
    number: int,
    *,
    options: MatchingOptions,
    verification: VerificationOptions | None,
    progress: bool = False,
    num_threads: int | None = None,
) -> MatchSummary:
    """Match and verify a block of pairs, unless it is there, with the options that ``begin_matching`` recorded.

    Only the block's images are read, each once. Raises as ``match_shard``.
    """
    file, block = folder.matches(number), read_block(folder, number)
    record = {"of": block.digest, "settings": settings_of(options, verification)}
    record["keypoints"] = _digests_of_keypoints(folder, block.names)
    if (there := _whole(file, record)) is not None:
        return _summary_of_there(len(block.pairs), there, verification)
    if not is_whole(folder.database):
        raise RuntimeError(
            f"{folder.database} is missing or damaged: run d2sfm pairs {folder.path} again, with its options"
        )
    ids = ids_of_images(folder.database, block.names)
    if missing := sorted(block.names - ids.keys()):
        raise ValueError(f"{folder.database} lacks {first_of(missing, 'image')} of {folder.pairs(number).name}")
    pairs = np.sort(np.array([(ids[a], ids[b]) for a, b in block.pairs], np.uint32), axis=1)
    with scratch_folder() as scratch:
        copy_part(folder.database, database := scratch / "block.db", ids.values(), ())
        _write_features(folder, database, ids)
        given = {"num_threads": num_threads, "progress": progress}
        summary = match_some(database, pairs, options, verification, **given)
        _write_rows(database, pairs, file, record | {"skipped": summary.skipped})
    return summary


def match_block_of_database(
    database: Path,
    pairs: np.ndarray,
    file: Path,
    *,
    has_matches: np.ndarray | None = None,
    options: MatchingOptions,
    verification: VerificationOptions | None,
    progress: bool = False,
    num_threads: int | None = None,
) -> MatchSummary:
    """The same for pairs of a database, image ids [P, 2], smaller ids first: their new rows go into ``file``.

    The database is only read, without locks: nobody may write to it meanwhile, and what SQLite keeps beside it
    (``-wal``) is not seen. has_matches: pairs that have matches which stay, and are only verified, [P] bool (default:
    none); the others are matched, whatever they have. A file of the same pairs and options is passed over.
    """
    numbers = pair_ids(*pairs.T)
    kept = numbers[:0] if has_matches is None else numbers[has_matches]
    record = {"of": [digest(numbers.tobytes()), digest(kept.tobytes())], "settings": settings_of(options, verification)}
    if (there := _whole(file, record)) is not None:
        return _summary_of_there(len(pairs), there, verification)
    with scratch_folder() as scratch:
        copy_part(database, copy := scratch / "block.db", np.unique(pairs).tolist(), kept.tolist())
        summary = match_some(copy, pairs, options, verification, num_threads=num_threads, progress=progress)
        _write_rows(copy, pairs, file, record | {"skipped": summary.skipped})
    return summary


def matched_blocks(folder: ShardFolder) -> list[bool]:
    """Of each block of pairs, whether its matches are there, whole and of these pairs, keypoints and the recorded
    options."""
    settings = records.read_record(folder.matching_record) if folder.matching_record.exists() else {}
    records_there = [
        _whole(folder.matches(number), {"of": of, "settings": settings})
        for number, of in enumerate(digests(folder) if folder.pair_blocks else ())
    ]
    keypoints = [there.get("keypoints") if there else None for there in records_there]
    now = _digests_of_keypoints(folder, set().union(*filter(None, keypoints)))
    return [of is not None and of.items() <= now.items() for of in keypoints]


def add(total: MatchSummary, block: MatchSummary) -> None:
    """Count a block in."""
    for name in ("pairs", "already_there", "matches", "refused", "matching_s", "verification_s"):
        setattr(total, name, getattr(total, name) + getattr(block, name))
    if total.verified is not None:
        total.verified += block.verified
    total.skipped.update(block.skipped)


def _digests_of_keypoints(folder: ShardFolder, names: Iterable[str]) -> dict[str, str]:
    """What tells the keypoints of images, which matches count, from those of features that are made again."""
    found = {}
    for number, of_block in groupby(sorted(names), folder.photographs.block_of):
        with FeatureBlock(folder.features(number)) as block:
            found |= {name: digest(block.positions_in_file(name).tobytes()) for name in of_block}
    return found


def _whole(file: Path, record: dict[str, Any]) -> dict[str, Any] | None:
    """The record of a file, where it is whole and of these pairs and settings."""
    there = read_record(file)
    return there if there is not None and {**there, **record} == there else None


def _summary_of_there(count: int, record: dict[str, Any], verification: VerificationOptions | None) -> MatchSummary:
    verified, skipped = None if verification is None else 0, Skipped(record["skipped"])
    return MatchSummary(pairs=count, already_there=count, verified=verified, skipped=skipped)


def _write_features(folder: ShardFolder, database: Path, names: Iterable[str]) -> None:
    """Features of images into a database that has them."""
    with FeatureStore(database) as store:
        images = store.images()
        for number, of_block in groupby(sorted(names), folder.photographs.block_of):
            with FeatureBlock(folder.features(number)) as block:
                for name in of_block:
                    features = block.read(name, (images[name].width, images[name].height))
                    store.write(name, features, block.fingerprint(name))


def _write_rows(database: Path, pairs: np.ndarray, file: Path, record: dict[str, Any]) -> None:
    """A file beside the database, where SQLite's locks are sure, takes the place of ``file`` when it is whole."""
    rows = database.with_name("rows.db")
    write_pair_rows(database, rows, pair_ids(*pairs.T), record)
    with replacing_file(file) as part:
        shutil.copyfile(rows, part)
        sync(part)
