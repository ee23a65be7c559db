"""COLMAP's own tools on a bridged database, each in a process of its own: some end theirs at rows that don't fit."""

import shutil

import numpy as np
import pycolmap
import pytest
from support.runs import PROCESSES

from d2sfm.database import BridgeStore, MatchStore
from d2sfm.database.connection import open_pycolmap

pytestmark = pytest.mark.slow

CPU = pycolmap.Device.cpu


def threads(kind, **settings):
    return kind(num_threads=1, **settings)


def exact(**settings):
    """Options of an exact search: the default one is by clusters of the descriptors, which other rows change."""
    options = threads(pycolmap.FeatureMatchingOptions, **settings)
    options.sift.cpu_brute_force_matcher = True
    return options


def match_by_clusters(database, _):
    pycolmap.match_exhaustive(database, threads(pycolmap.FeatureMatchingOptions), device=CPU)


def match(database, _):
    pycolmap.match_exhaustive(database, exact(), device=CPU)


def match_guided(database, _):
    pycolmap.match_exhaustive(database, exact(guided_matching=True), device=CPU)


def match_by_vocabulary(database, folder):
    """By words that are made of the database's own descriptors: of so few images, all pairs are chosen."""
    with open_pycolmap(database) as colmap:
        found = [colmap.read_descriptors(image.image_id) for image in colmap.read_all_images()]
    described = np.concatenate([each.data for each in found]).astype(np.float32)
    index = pycolmap.VisualIndex.create(described.shape[1], 64)
    words = threads(pycolmap.VisualIndex.BuildOptions, num_visual_words=64, num_iterations=10, num_rounds=1)
    index.build(words, pycolmap.FeatureDescriptorsFloat(pycolmap.FeatureExtractorType.SIFT, described))
    index.prepare()
    index.write(folder.with_name("words.bin"))
    pairing = threads(pycolmap.VocabTreePairingOptions, vocab_tree_path=folder.with_name("words.bin"))
    pycolmap.match_vocabtree(database, exact(), pairing, device=CPU)


def verify(database, _):
    pycolmap.geometric_verification(database, threads(pycolmap.GeometricVerifierOptions))


def map_incrementally(database, folder):
    folder.mkdir()
    options = pycolmap.IncrementalPipelineOptions(num_threads=1)
    [model, *_] = pycolmap.incremental_mapping(database, folder, folder, options).values()
    assert model.num_reg_images() == 5


def map_globally(database, folder):
    folder.mkdir()
    [model, *_] = pycolmap.global_mapping(database, folder, folder, pycolmap.GlobalPipelineOptions()).values()
    assert model.num_reg_images() == 5


def use(tool, database, folder):
    """In a process of its own."""
    pycolmap.logging.minloglevel = pycolmap.logging.Level.FATAL.value
    tool(database, folder / "models")


def process_of(tool, database, folder):
    process = PROCESSES.Process(target=use, args=(tool, database, folder))
    process.start()
    process.join()
    assert process.exitcode == 0


@pytest.fixture
def database(bridged, tmp_path):
    return shutil.copy(bridged[0], tmp_path / "db.db")


@pytest.mark.parametrize(
    ("tool", "share"), [(match, 1), (match_guided, 1), (match_by_vocabulary, 1), (match_by_clusters, 0.8)]
)
def test_matching_finds_what_it_finds_without_d2_keypoints(scene, database, tmp_path, tool, share):
    alone = shutil.copy(scene.database, tmp_path / "alone.db")
    for path in (database, alone):
        with open_pycolmap(path) as colmap:
            colmap.clear_matches()
            colmap.clear_two_view_geometries()
        process_of(tool, path, tmp_path)
    with BridgeStore(database) as store:
        first = {image.image_id: image.first for image in store.images().values()}
    with MatchStore(alone) as before, MatchStore(database) as after:
        for pair in before.done_pairs(verified=True).tolist():
            pair = divmod(pair, 2147483647)
            found, own = after.matches(*pair), before.matches(*pair)
            are_own = (found < [first[image_id] for image_id in pair]).all(axis=1)
            assert (~are_own).sum() <= 2  # fillers that are equal, once in ten millions
            both = {*map(tuple, found[are_own].tolist())} & {*map(tuple, own.tolist())}
            assert len(both) >= share * max(len(own), are_own.sum())
            assert (after.inlier_matches(*pair) < [first[image_id] for image_id in pair]).all()


@pytest.mark.parametrize("tool", [verify, map_incrementally, map_globally])
def test_verification_and_mapping(database, tmp_path, tool):
    process_of(tool, database, tmp_path)
