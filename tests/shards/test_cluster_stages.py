"""Matching, refinement and a whole run by a cluster: the database of one process, whatever becomes of workers."""

import shutil
from dataclasses import replace

import cv2
import pytest
from support.cluster_work import Here
from support.database_contents import rows
from support.feature_database import say_verified
from support.helpers import textured_picture
from support.photograph_folder import cut
from support.posed_views import TRUE, true_poses, write_posed_views, write_reference

from d2sfm.database import FeatureStore, MatchStore, RefinementStore
from d2sfm.extraction.extract import extract_to_database
from d2sfm.matching.match import match_database
from d2sfm.options import MapCacheOptions, MatchingOptions, RefinementOptions, VerificationOptions
from d2sfm.refinement import map_source
from d2sfm.refinement.refine import refine_database
from d2sfm.shards.cluster_matching import match_on_cluster
from d2sfm.shards.cluster_refinement import refine_on_cluster
from d2sfm.workflow.reconstruct_photographs import reconstruct_photographs

pytestmark = [pytest.mark.usefixtures("narrow_network", "one_thread"), pytest.mark.slow]

COUNT = 4
PAIRS = ("matches", "two_view_geometries", "d2sfm_similarities", "d2sfm_refused_pairs", "d2sfm_settings")
REFINED = ("keypoints", "d2sfm_features", "d2sfm_original_keypoints", "d2sfm_keypoint_sigmas", "d2sfm_refined_parts")
GIVEN = {"options": MatchingOptions(device="cpu"), "verification": VerificationOptions()}
REFINEMENT = RefinementOptions(device="cpu", precision="float32")


@pytest.fixture(scope="module")
def project(tmp_path_factory, narrow_network, one_thread):
    """Overlapping cut-outs of one picture, so large that tracks go on, in extracted.db, and matched in matched.db."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "photographs").mkdir()
    whole = textured_picture(3, (320 + 8 * COUNT, 240))
    for number in range(COUNT):
        cv2.imwrite(str(folder / "photographs" / f"{number}.png"), whole[:, 8 * number : 8 * number + 320])
    extract_to_database(folder / "extracted.db", folder / "photographs")
    shutil.copy(folder / "extracted.db", folder / "matched.db")
    match_database(folder / "matched.db", **GIVEN)
    return folder


def copy(project, name, tmp_path):
    """A database in a folder of its own, with the way to its photographs."""
    (tmp_path / "photographs").symlink_to(project / "photographs")
    return shutil.copy(project / name, tmp_path / "db.db")


def left_beside(database):
    return sorted(path.name for path in database.parent.glob("db.db*"))


def test_matches_and_geometries_are_those_of_one_process(four_workers, switches, project, tmp_path):
    database = copy(project, "extracted.db", tmp_path)
    (switches / "kill").touch()
    summary = match_on_cluster(four_workers, database, **GIVEN)
    assert not (switches / "kill").exists()
    assert (summary.pairs, summary.already_there) == (6, 0)
    assert summary.matches > 0
    assert rows(database, *PAIRS) == rows(project / "matched.db", *PAIRS)
    assert left_beside(database) == ["db.db"]
    folder = tmp_path / "db.db.shards"
    folder.mkdir()
    (folder / "matches-0123456789abcdef.db").touch()  # of a client that was killed when it had taken in all
    again = match_on_cluster(four_workers, database, **GIVEN)
    assert (again.pairs, again.already_there, again.matches) == (6, 6, 0)
    assert left_beside(database) == ["db.db"]


def test_refined_keypoints_are_those_of_one_process(four_workers, switches, project, tmp_path):
    database, alone = copy(project, "matched.db", tmp_path), project / "refined.db"
    say_verified(database, step=1)
    shutil.copy(database, alone)
    refine_database(alone, project / "photographs", options=REFINEMENT)
    (switches / "kill").touch()
    summary = refine_on_cluster(four_workers, database, tmp_path / "photographs", options=REFINEMENT)
    assert not (switches / "kill").exists()
    assert summary.moved > 0
    assert rows(database, *PAIRS, *REFINED) == rows(alone, *PAIRS, *REFINED)
    assert left_beside(database) == ["db.db"]
    with FeatureStore(database) as store:
        moved = store.notes.refinement()
    again = refine_on_cluster(Here(), database, tmp_path / "photographs", options=REFINEMENT, overwrite=True)
    assert again.moved > 0
    with FeatureStore(database) as store:
        assert store.notes.refinement() == moved


def test_shares_compute_the_maps_of_each_photograph_once(project, tmp_path, monkeypatch):
    """In the folder of the pieces, which goes, or in that which was asked for, which stays."""
    database, computed = copy(project, "matched.db", tmp_path), []
    compute = map_source.feature_maps
    monkeypatch.setattr(map_source, "feature_maps", lambda *given: computed.append(given) or compute(*given))
    say_verified(database, step=1)
    other = shutil.copy(database, tmp_path / "other.db")
    refine_on_cluster(Here(), database, tmp_path / "photographs", options=REFINEMENT)
    assert len(computed) == COUNT
    assert left_beside(database) == ["db.db"]
    cache = MapCacheOptions(cache=tmp_path / "maps")
    refine_on_cluster(Here(), other, tmp_path / "photographs", options=REFINEMENT, cache=cache)
    assert len(computed) == 2 * COUNT
    assert len(list((tmp_path / "maps").iterdir())) == COUNT
    assert rows(database, *REFINED) == rows(other, *REFINED)


def test_blocks_of_a_killed_client_are_taken_in_unless_they_are_cut_short(project, tmp_path):
    database = copy(project, "extracted.db", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        match_on_cluster(Here(is_killed=True), database, **GIVEN)
    files = sorted((tmp_path / "db.db.shards").glob("matches-*.db"))
    assert len(files) >= 3
    cut(files[0])
    kept = {file: file.stat().st_mtime_ns for file in files[1:]}
    here = TimesOf(files)
    match_on_cluster(here, database, **GIVEN)
    assert {file: here.times[file] for file in kept} == kept
    assert rows(database, *PAIRS) == rows(project / "matched.db", *PAIRS)


class TimesOf(Here):
    """Notes when files were written, before they are taken in."""

    def __init__(self, files):
        super().__init__()
        self.files = files

    def run(self, function, calls):
        found = super().run(function, calls)
        self.times = {file: file.stat().st_mtime_ns for file in self.files}
        return found


def test_a_cluster_that_is_not_there_leaves_nothing_behind(project, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("timed out")

    monkeypatch.setattr(Here, "run", refuse)
    database = copy(project, "extracted.db", tmp_path)
    with pytest.raises(OSError, match="timed out"):
        match_on_cluster(Here(), database, **GIVEN)
    assert left_beside(database) == ["db.db"]


def test_blocks_of_other_features_are_not_taken_in(project, tmp_path):
    database = copy(project, "extracted.db", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        match_on_cluster(Here(is_killed=True), database, **GIVEN)
    with FeatureStore(database) as store:
        fingerprint, features = store.extracted()["0.png"], store.read("0.png")
        store.write("0.png", replace(features, keypoints=features.keypoints[::-1].copy()), fingerprint)
    match_database(shutil.copy(database, alone := tmp_path / "alone.db"), **GIVEN)
    match_on_cluster(Here(), database, **GIVEN)
    assert rows(database, *PAIRS) == rows(alone, *PAIRS)
    assert left_beside(database) == ["db.db"]


def test_blocks_within_another_threshold_are_not_taken_in(project, tmp_path):
    database, killed, here = copy(project, "extracted.db", tmp_path), Here(is_killed=True), Here()
    with FeatureStore(database) as store:
        placed = {image.image_id: store.read(name).keypoints[:, :2] for name, image in store.images().items()}
    with RefinementStore(database) as store:
        store.replace(placed, {"max_error": 2.0})
    with pytest.raises(KeyboardInterrupt):
        match_on_cluster(killed, database, **GIVEN)
    with FeatureStore(database) as store:
        store.notes.note_refinement({"max_error": 0.1})
    match_on_cluster(here, database, **GIVEN)
    before, after = ({file for _, (_, _, file, *_) in each.done} for each in (killed, here))
    assert before.isdisjoint(after)


def test_blocks_without_known_poses_are_not_taken_in_where_there_are_some(tmp_path):
    database, reference = (
        write_posed_views(tmp_path / "db.db", 3),
        write_reference(tmp_path / "true", true_poses(range(3))),
    )
    alone = shutil.copy(database, tmp_path / "alone.db")
    with pytest.raises(KeyboardInterrupt):
        match_on_cluster(Here(is_killed=True), database, **GIVEN)
    match_on_cluster(Here(), database, **GIVEN, reference=reference)
    match_database(alone, **GIVEN, reference=reference)
    assert rows(database, *PAIRS) == rows(alone, *PAIRS)
    with MatchStore(database) as store:
        assert len(store.inlier_matches(1, 2)) >= TRUE


def test_pairs_are_matched_anew_and_others_only_verified(project, tmp_path):
    database = copy(project, "matched.db", tmp_path)
    other = VerificationOptions(seed=5)
    match_database(shutil.copy(database, alone := tmp_path / "alone.db"), verification=other, overwrite=True)
    match_on_cluster(Here(), database, verification=other, overwrite=True)
    assert rows(database, *PAIRS) == rows(alone, *PAIRS)
    for each in (database, alone):
        with MatchStore(each) as store:
            store._connection.rows("DELETE FROM two_view_geometries WHERE rowid % 2 = 0")
    match_database(alone, verification=other)
    match_on_cluster(Here(), database, verification=other)
    assert rows(database, *PAIRS) == rows(alone, *PAIRS)


def test_a_run_gives_its_long_stages_to_the_cluster(project, tmp_path):
    here, alone = Here(), tmp_path / "alone"
    config = {"extract": {"max_edge": 160}, "refine": {"device": "cpu"}}
    for output, given in ((tmp_path / "run", {"cluster": here}), (alone, {})):
        reconstruct_photographs(project / "photographs", output, config=config, num_threads=1, **given)
    assert {name for name, _ in here.done} >= {"extract_piece", "match_piece"}
    assert (tmp_path / "run" / "run.toml").read_bytes() == (alone / "run.toml").read_bytes()
    tables = ("keypoints", "descriptors", "matches", "two_view_geometries")
    assert rows(tmp_path / "run" / "db.db", *tables) == rows(alone / "db.db", *tables)


def test_a_database_is_in_use_while_workers_align(project, tmp_path):
    database = copy(project, "matched.db", tmp_path)
    say_verified(database, step=1)
    with pytest.raises(RuntimeError, match="is in use by another run"):
        refine_on_cluster(Matching(database), database, options=REFINEMENT)


class Matching(Here):
    """Somebody matches while workers work."""

    def __init__(self, database):
        super().__init__()
        self.database = database

    def run(self, function, calls):
        match_database(self.database, **GIVEN)
