"""COLMAP's database, the one store of the pipeline. All SQL lives in this folder."""

from d2sfm.database.bridge_store import BridgedImage, BridgeStore, layer_of, own_features, require_not_bridged
from d2sfm.database.camera_rules import by_rule, camera_rules
from d2sfm.database.feature_store import FeatureStore
from d2sfm.database.file import create_database, require_database, working_copy
from d2sfm.database.foreign_store import ForeignStore, require_own_features
from d2sfm.database.given_camera import cameras_given, given_camera, mark_cameras_given, require_camera
from d2sfm.database.lock import exclusive
from d2sfm.database.match_store import MatchStore
from d2sfm.database.notes import Note
from d2sfm.database.overwriting import begin_overwriting, end_overwriting, outdated_images, stopped_overwriting
from d2sfm.database.pair_overwriting import (
    PairsToOverwrite,
    begin_overwriting_pairs,
    end_overwriting_pairs,
    pairs_to_overwrite,
)
from d2sfm.database.photograph_import import by_camera_group, estimated_cameras, import_photographs, remove_photographs
from d2sfm.database.refinement_store import RefinementStore
from d2sfm.database.rigs import apply_rig_config, read_frames, read_rigs
from d2sfm.database.stored import ImageRow
