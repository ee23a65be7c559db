"""A folder of shards with features of made views, without photographs and without the network."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation
from support.database_contents import rows

from d2sfm.database.pair_rows import COLUMNS
from d2sfm.features.record import Features
from d2sfm.formats.npz_mat import write_features
from d2sfm.options import (
    CameraOptions,
    Convention,
    DescriptorDtype,
    ExtractionOptions,
    PhotographOptions,
    VerificationOptions,
)
from d2sfm.shards.feature_block import BlockFile, FeatureBlock, write_block
from d2sfm.shards.folder import Photographs, ShardFolder
from d2sfm.shards.import_blocks import import_photographs_of, write_features_of
from d2sfm.skipped import Skipped

SIZE = (800, 600)
SETTINGS = '{"scales": [1.0]}'
QUICK = VerificationOptions(max_num_trials=500)
VIEWS = 9  # of three places, in turn


def view_features(number: int, place: int, points: int = 60, others: int = 20) -> Features:
    """Features of a view of the points of a place, the camera turned and moved with its number."""
    generator, of_place = np.random.default_rng(number), np.random.default_rng(1000 + place)
    positions, common = of_place.uniform([-2, -1.5, 6], [2, 1.5, 10], (points, 3)), of_place.normal(size=(points, 512))
    turned = Rotation.from_euler("y", 3.0 * number, degrees=True).as_matrix()
    seen = positions @ turned.T - [0.5 * number, 0, 0]
    xy = seen[:, :2] / seen[:, 2:] * 900 + [SIZE[0] / 2, SIZE[1] / 2] + generator.normal(0, 0.3, (points, 2))
    xy = np.concatenate([xy, generator.uniform(0, 600, (others, 2))])
    descriptors = np.concatenate([common, np.zeros((others, 512))])
    descriptors += np.where(np.arange(len(xy)) < points, 0.3, 1)[:, None] * generator.normal(size=descriptors.shape)
    order = generator.permutation(len(xy))
    return Features(
        keypoints=np.column_stack([xy[order], np.ones((len(xy), 2))]).astype(np.float32),
        descriptors=(descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True))[order].astype(np.float16),
        image_size=SIZE,
        input_size=SIZE,
        convention=Convention.COLMAP,
        scales=(1.0,),
    )


def name_of(number: int) -> str:
    return f"{'ab'[number % 2]}/view {number}.jpg"


def write_shard_folder(path: Path, views: int = VIEWS) -> ShardFolder:
    """Views of three places, 1 km from each other, in two folders; the last one has no GPS position."""
    numbers = sorted(range(views), key=name_of)
    photographs = Photographs(
        images=path.parent / "photographs",
        names=tuple(map(name_of, numbers)),
        fingerprint=SETTINGS,
        extraction=ExtractionOptions(),
        descriptor_dtype=DescriptorDtype.FLOAT16,
        cameras=CameraOptions(),
        limits=PhotographOptions(),
    )
    folder, scratch = ShardFolder.begin(path, photographs), path.parent / "scratch"
    scratch.mkdir()
    parts = {}
    for number in numbers:
        of_features, of_blank = scratch / f"{number}.npz", scratch / f"{number}.png"
        found = view_features(number // 3, number % 3)
        write_features(of_features, found, descriptor_dtype=DescriptorDtype.FLOAT16, fingerprint=SETTINGS)
        exif = Image.Exif()
        exif[0x0110] = "Camera"
        if number < views - 1:
            seconds = 36.0 * (number % 3) + 0.3 * number
            exif.get_ifd(0x8825).update({1: "N", 2: (55.0, 42.0, seconds), 3: "E", 4: (13.0, 11.0, 36.0), 6: 12.0})
        Image.new("1", SIZE).save(of_blank, exif=exif)
        parts[name_of(number)] = (name_of(number), of_features, of_blank)
    for block in range(photographs.blocks):
        names = photographs.block(block)
        file = BlockFile(folder.features(block), names, SETTINGS)
        write_block(file, [parts[name] for name in names], Skipped())
    shutil.rmtree(scratch)
    return folder


def remove_from_block(folder: ShardFolder, number: int, name: str) -> None:
    """Write a block again as one whose photograph of that name could not be read."""
    names, scratch, parts = folder.photographs.block(number), folder.path.parent / "again", []
    scratch.mkdir()
    with FeatureBlock(folder.features(number)) as block:
        for index, other in enumerate(each for each in names if each != name):
            of_features, of_blank = scratch / f"{index}.npz", scratch / f"{index}.png"
            of_blank.write_bytes(block.blank_copy(other))
            found = block.read(other, SIZE)
            write_features(of_features, found, descriptor_dtype=DescriptorDtype.FLOAT16, fingerprint=SETTINGS)
            parts.append((other, of_features, of_blank))
    write_block(BlockFile(folder.features(number), names, SETTINGS), parts, Skipped({name: "is damaged"}))


def database_of(folder: ShardFolder, path: Path) -> Path:
    """The database that one process extracts."""
    import_photographs_of(folder, path)
    write_features_of(folder, path)
    return path


def pair_rows(*files: Path) -> dict[str, list[tuple]]:
    """All rows of pairs in some files, of each table in the order of pairs."""
    found = [rows(file, *COLUMNS) for file in files]
    return {table: sorted(row for each in found for row in each[table]) for table in COLUMNS}
