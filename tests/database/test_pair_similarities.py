"""Similarities of matches and reasons of refusal: kept with their pairs, and never taken for those of others."""

import sqlite3
from contextlib import closing

import numpy as np
import pycolmap
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.feature_database import descriptors_of_place, write_feature_database
from support.runs import PROCESSES

from d2sfm.database import FeatureStore, ForeignStore, MatchStore, RefinementStore, remove_photographs
from d2sfm.database.connection import Connection, open_pycolmap
from d2sfm.database.pair_ids import pair_ids
from d2sfm.database.tables import OUR_PAIR_TABLES, REFUSED, REFUTED, SIMILARITIES, tables

NAMES = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
PAIRS = [(1, 2), (1, 3), (2, 3), (2, 4)]
MATCHES = np.array([[0, 1], [2, 0], [1, 3]], np.uint32)
SCORES = np.array([0.5, 0.875, 0.25], np.float16)
NO_GEOMETRY = pycolmap.TwoViewGeometry(config=pycolmap.TwoViewGeometryConfiguration.DEGENERATE)
GEOMETRY = pycolmap.TwoViewGeometry(
    config=pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED, inlier_matches=MATCHES[:2]
)
REASON = "chance explains it"


@pytest.fixture
def database(tmp_path):
    """Four images. All pairs have similarities, those of image 2 were refused."""
    descriptors = descriptors_of_place(0, 0)
    path = write_feature_database(tmp_path / "db.db", dict.fromkeys(NAMES, descriptors))
    with MatchStore(path) as store:
        for pair in PAIRS:
            refused = {"geometry": NO_GEOMETRY, "refused": REASON} if 2 in pair else {"geometry": GEOMETRY}
            store.write(*pair, MATCHES, similarities=SCORES + np.float16(sum(pair)), **refused)
    return path


def kept(path):
    """Similarities and refusals by pair, of pairs that have them."""
    with MatchStore(path) as store:
        refusals = store.refusals()
        there = [pair for pair in PAIRS if store.image_names().keys() >= set(pair)]
        similarities = {pair: store.similarities(*pair) for pair in there}
        return (
            {pair: found.tolist() for pair, found in similarities.items() if found is not None},
            {pair: refusals[int(pair_ids(*pair))] for pair in PAIRS if int(pair_ids(*pair)) in refusals},
        )


def run_sql(path, statement, values=()):
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def rows_of_ours(path):
    """Numbers of pairs with similarities, and of those with a reason."""
    return [
        {pair_id for (pair_id,) in run_sql(path, f"SELECT pair_id FROM {table}")} for table in (SIMILARITIES, REFUSED)
    ]


def numbers(*pairs):
    return {int(pair_ids(*pair)) for pair in pairs}


REFUSED_PAIRS = [(1, 2), (2, 3), (2, 4)]


def test_they_are_those_that_were_written(database):
    similarities, refusals = kept(database)
    assert similarities == {pair: (SCORES + np.float16(sum(pair))).tolist() for pair in PAIRS}
    assert refusals == dict.fromkeys(REFUSED_PAIRS, REASON)


@settings(max_examples=30)
@given(
    st.lists(st.floats(-1, 1, width=16), max_size=9),
    st.integers(0, 2**32 - 1),
    st.permutations([1, 2]),
    st.booleans(),
    st.sampled_from(["", "x", "it's 50 % of (ä)"]),
)
def test_any_similarities_come_back(two_images, values, seed, pair, is_single, reason):
    """Whatever the order of the images, in the order of the matches."""
    values = np.array(values, np.float32 if is_single else np.float16)
    matches = np.random.default_rng(seed).integers(0, 40, (len(values), 2)).astype(np.uint32)
    two_images.write(*pair, matches, NO_GEOMETRY, similarities=values, refused=reason)
    found = two_images.similarities(*pair)
    assert found.dtype == np.float16
    assert found.tobytes() == values.astype(np.float16).tobytes()
    assert np.array_equal(two_images.similarities(*pair[::-1]), found)
    assert np.array_equal(two_images.matches(*pair), matches)
    assert two_images.refusals() == ({int(pair_ids(1, 2)): reason} if reason else {})


@pytest.fixture(scope="module")
def two_images(tmp_path_factory):
    path = tmp_path_factory.mktemp("pair") / "db.db"
    with MatchStore(write_feature_database(path, dict.fromkeys("ab", descriptors_of_place(0, 0)))) as store:
        yield store


def test_a_pair_that_is_written_again_loses_what_it_had(database):
    with MatchStore(database) as store:
        store.write(2, 1, MATCHES[:, ::-1], GEOMETRY)
    similarities, refusals = kept(database)
    assert similarities.keys() == {*PAIRS[1:]}
    assert refusals.keys() == {(2, 3), (2, 4)}
    assert rows_of_ours(database) == [numbers(*PAIRS[1:]), numbers((2, 3), (2, 4))]


def test_similarities_of_another_shape_are_refused(database):
    before = kept(database)
    with MatchStore(database) as store:
        for shape in ((2,), (4,), (3, 1)):
            with pytest.raises(ValueError, match=r"similarities have shape .*, expected \(3,\)"):
                store.write(1, 2, MATCHES, similarities=np.zeros(shape, np.float16))
        with pytest.raises(ValueError, match="no image with id 9"):
            store.similarities(1, 9)
    assert kept(database) == before


def test_a_pair_is_written_whole_or_not_at_all(database):
    before = kept(database)
    with MatchStore(database) as store:
        store._connection.rows(f"CREATE TRIGGER refuse BEFORE INSERT ON {REFUSED} BEGIN SELECT raise(FAIL, 'no'); END")
        with pytest.raises(RuntimeError, match="no"):
            store.write(1, 3, MATCHES[:1], NO_GEOMETRY, similarities=SCORES[:1], refused=REASON)
        assert np.array_equal(store.matches(1, 3), MATCHES)
    assert kept(database) == before


OTHER = MATCHES[::-1]  # of the same length


def replaced_by_colmap(path, matches):
    with open_pycolmap(path) as colmap:
        colmap.delete_matches(1, 3)
        colmap.write_matches(1, 3, matches)


@pytest.mark.parametrize("matches", [OTHER, MATCHES[:2], np.vstack([MATCHES, [[3, 2]]]), MATCHES[:0]])
def test_matches_that_another_program_wrote_have_none(database, matches):
    replaced_by_colmap(database, matches.astype(np.uint32))
    similarities, _ = kept(database)
    assert similarities.keys() == {(1, 2), (2, 3), (2, 4)}
    replaced_by_colmap(database, MATCHES)  # once more those of before
    assert kept(database)[0].keys() == set(PAIRS)


@pytest.mark.parametrize(
    "change",
    ["similarities = 'text'", "similarities = 5", "similarities = substr(similarities, 1, 5)", "similarities = x''",
     "similarities = x'003c003c003c'", "similarities = similarities || x'0000'", "digest = 'text'", "digest = 7",
     "digest = x''", "digest = x'0001020304050607'"],
)  # fmt: skip
def test_rows_that_d2sfm_did_not_write_so_are_left_alone(database, change):
    run_sql(database, f"UPDATE {SIMILARITIES} SET {change} WHERE pair_id = ?", (int(pair_ids(1, 3)),))
    assert kept(database)[0].keys() == {(1, 2), (2, 3), (2, 4)}


@pytest.mark.parametrize("values", ["NULL, NULL", "NULL, x'003c'", "x'0001020304050607', NULL"])
def test_a_table_of_that_name_without_our_constraints(database, values):
    run_sql(database, f"DROP TABLE {SIMILARITIES}")
    run_sql(database, f"CREATE TABLE {SIMILARITIES} (pair_id INTEGER PRIMARY KEY, digest, similarities)")
    run_sql(database, f"INSERT INTO {SIMILARITIES} VALUES ({int(pair_ids(1, 3))}, {values})")
    assert kept(database)[0] == {}


def test_rows_of_no_pair_and_reasons_that_are_no_text(database):
    run_sql(database, f"INSERT INTO {SIMILARITIES} VALUES (-5, x'00', x''), (77, x'00', x'')")
    run_sql(
        database, f"INSERT INTO {REFUSED} VALUES (-5, 'x'), (?, 'of a pair that has inliers')", (int(pair_ids(1, 3)),)
    )
    run_sql(database, f"UPDATE {REFUSED} SET reason = x'6162' WHERE pair_id = ?", (int(pair_ids(1, 2)),))
    assert kept(database)[0].keys() == set(PAIRS)
    with MatchStore(database) as store:
        assert store.refusals() == dict.fromkeys(numbers((2, 3), (2, 4)), REASON) | {int(pair_ids(1, 2)): "ab"}


def test_a_database_without_the_tables(database):
    """As an older version of d2sfm leaves it."""
    for table in OUR_PAIR_TABLES:
        run_sql(database, f"DROP TABLE {table}")
    assert kept(database) == ({}, {})
    with MatchStore(database) as store:
        store.write(1, 2, MATCHES, GEOMETRY)
    remove_photographs(database, ["d.jpg"])
    with Connection(database) as connection:
        assert not tables(connection).intersection(OUR_PAIR_TABLES)  # reading, and writing without them, adds none
    with RefinementStore(database) as store:
        store.verify_otherwise({"seed": 1})
    with MatchStore(database) as store:
        store.write(1, 3, MATCHES, NO_GEOMETRY, similarities=SCORES, refused=REASON)
    assert kept(database) == ({(1, 3): SCORES.tolist()}, {(1, 3): REASON})


def extract_again(path):
    with FeatureStore(path) as store:
        store.write("b.jpg", store.read("b.jpg"), "settings")


def import_keypoints(path):
    with ForeignStore(path) as store:
        store.write("b.jpg", np.ones((9, 2), np.float32), "another's")


@pytest.mark.parametrize("remove", [extract_again, import_keypoints, lambda path: remove_photographs(path, ["b.jpg"])])
def test_they_go_with_the_features(database, remove):
    for pair in ((1, 2), (1, 3)):
        run_sql(database, f"INSERT INTO {REFUTED} VALUES (?, zeroblob(8))", (int(pair_ids(*pair)),))
    remove(database)
    assert {pair_id for (pair_id,) in run_sql(database, f"SELECT pair_id FROM {REFUTED}")} == numbers((1, 3))
    assert rows_of_ours(database) == [numbers((1, 3)), set()]
    assert kept(database) == ({(1, 3): (SCORES + np.float16(4)).tolist()}, {})


def refine(path):
    with RefinementStore(path) as store:
        store.replace({1: store.keypoints(1)[:, :2] + 0.25}, {"seed": 1})


def restore(path):
    refine(path)
    with MatchStore(path) as store:
        store.write(2, 4, MATCHES, NO_GEOMETRY, similarities=SCORES + np.float16(6), refused=REASON)
    with RefinementStore(path) as store:
        store.restore()


def verify_otherwise(path):
    with RefinementStore(path) as store:
        store.verify_otherwise({"seed": 2})


@pytest.mark.parametrize("remove", [refine, restore, verify_otherwise])
def test_reasons_go_with_the_geometries_and_similarities_stay_with_the_matches(database, remove):
    similarities, _ = kept(database)
    remove(database)
    assert kept(database) == (similarities, {})
    assert rows_of_ours(database) == [numbers(*PAIRS), set()]


def synthesize(path, seed):
    """Five images of one scene, all pairs verified, with similarities; the first pair is refused. Pairs by number."""
    pycolmap.set_random_seed(seed)
    options = pycolmap.SyntheticDatasetOptions(num_rigs=1, num_cameras_per_rig=1, num_frames_per_rig=5)
    options.num_points3D = 100
    with open_pycolmap(path) as colmap:
        pycolmap.synthesize_dataset(options, colmap)
        for image in colmap.read_all_images():
            image.name = f"{seed}-{image.image_id}.jpg"
            colmap.update_image(image)
        pairs = [(a, b) for a in range(1, 6) for b in range(a + 1, 6)]
        found = {pair: (colmap.read_matches(*pair), colmap.read_two_view_geometry(*pair)) for pair in pairs}
    with MatchStore(path) as store:
        for number, (pair, (matches, geometry)) in enumerate(found.items()):
            similarities = np.linspace(0.5, 1, len(matches)) - 0.01 * number
            is_refused = {"geometry": NO_GEOMETRY, "refused": REASON} if number == 0 else {"geometry": geometry}
            store.write(*pair, matches, similarities=similarities, **is_refused)
    return path


def run_colmap(databases, merged, folder):
    """Its tools on such databases: mapping, verification of two pairs, and merging."""
    (folder / "sparse").mkdir()
    models = pycolmap.incremental_mapping(databases[0], folder, folder / "sparse")
    assert [model.num_reg_images() for model in models.values()] == [5]
    with pycolmap.Database.open(databases[1]) as colmap:
        colmap.delete_two_view_geometry(1, 2)
        colmap.delete_two_view_geometry(1, 3)
        names = {image.image_id: image.name for image in colmap.read_all_images()}
    (folder / "pairs.txt").write_text(f"{names[1]} {names[2]}\n{names[1]} {names[3]}\n")
    pycolmap.verify_matches(databases[1], folder / "pairs.txt")
    with pycolmap.Database.open(databases[1]) as colmap:
        assert all(len(colmap.read_two_view_geometry(1, other).inlier_matches) > 50 for other in (2, 3))
    opened = [pycolmap.Database.open(path) for path in (*databases, merged)]
    pycolmap.Database.merge(*opened)
    assert [database.num_matched_image_pairs() for database in opened] == [10, 10, 20]
    for database in opened:
        database.close()


@pytest.mark.slow
def test_colmaps_own_tools_work_on_them(tmp_path):
    databases = [synthesize(tmp_path / f"{seed}.db", seed) for seed in (1, 2)]
    before = [kept(path) for path in databases]
    assert [len(each) for each in before[0]] == [4, 1]
    process = PROCESSES.Process(target=run_colmap, args=(databases, tmp_path / "merged.db", tmp_path))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert kept(databases[0]) == before[0]
    assert kept(databases[1]) == (before[1][0], {})  # it verified the pair that was refused
    assert kept(tmp_path / "merged.db") == ({}, {})
