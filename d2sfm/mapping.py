"""One mapping run of pycolmap, with seeds and fixed cameras set throughout its options."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pycolmap

from d2sfm.database import quiet_pycolmap
from d2sfm.options import Mapper


@dataclass(frozen=True, kw_only=True)
class MappingInput:
    """What every start shares.

    pixel_factor: pixels of the photographs for one of the network input; COLMAP's thresholds in pixels are meant for
        features that are exact to a pixel of the photograph, those of D2 are exact to pixels of the network input.
    constant_cameras: ids of cameras whose intrinsics stay as they are; ``all_constant`` where that is all of them.
    """

    database: Path
    mapper: Mapper
    pixel_factor: float = 1.0
    constant_cameras: frozenset[int] = field(default_factory=frozenset)
    all_constant: bool = False  # the global pipeline knows no other way
    num_threads: int = 1


def map_once(given: MappingInput, seed: int, on_image: Callable[[], None]) -> list[pycolmap.Reconstruction]:
    """The models of one run, none where nothing could be reconstructed. on_image is called for each registered image.

    The database is not changed: the global pipeline, which rewrites cameras and geometries, works on a copy.
    """
    with tempfile.TemporaryDirectory() as folder, quiet_pycolmap():
        # Neither pipeline reads photographs here: colours are added afterwards, to the model that is kept.
        if given.mapper is Mapper.GLOBAL:
            database = Path(folder) / "copy.db"
            shutil.copy(given.database, database)
            models = pycolmap.global_mapping(database, folder, folder, global_options(given, seed))
        else:
            models = pycolmap.incremental_mapping(
                given.database,
                folder,
                folder,
                incremental_options(given, seed),
                initial_image_pair_callback=on_image,
                next_image_callback=on_image,
            )
    return list(models.values())


def incremental_options(given: MappingInput, seed: int) -> pycolmap.IncrementalPipelineOptions:
    """COLMAP's defaults, with seeds and threads in every part and thresholds in network pixels."""
    options = pycolmap.IncrementalPipelineOptions()
    options.extract_colors = False
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = seed
    options.num_threads = options.mapper.num_threads = given.num_threads
    for part, names in (
        (options.mapper, ("init_max_error", "abs_pose_max_error", "filter_max_reproj_error")),
        (options.triangulation, ("complete_max_reproj_error", "merge_max_reproj_error")),
    ):
        for name in names:
            setattr(part, name, getattr(part, name) * given.pixel_factor)
    options.constant_cameras = options.mapper.constant_cameras = set(given.constant_cameras)
    if given.all_constant:
        options.ba_refine_focal_length = options.ba_refine_extra_params = False
        options.mapper.abs_pose_refine_focal_length = options.mapper.abs_pose_refine_extra_params = False
    return options


def global_options(given: MappingInput, seed: int) -> pycolmap.GlobalPipelineOptions:
    """COLMAP's defaults, with the seed and threads in every part; its thresholds are angles, whatever the resizing."""
    options = pycolmap.GlobalPipelineOptions()
    options.random_seed = options.mapper.random_seed = seed
    options.num_threads = options.mapper.num_threads = given.num_threads
    if given.all_constant:
        options.mapper.bundle_adjustment.refine_focal_length = False
        options.mapper.bundle_adjustment.refine_extra_params = False
    return options
