"""Export of a database: features and matches as they are in it."""

import json
import os
import re
import shutil
import sqlite3

import h5py
import numpy as np
import pytest
from support.database_contents import done_pairs
from support.feature_database import descriptors_of_place, say_verified, write_feature_database
from support.feature_records import random_features
from support.hloc import keypoints_of_hloc, matches_of_hloc

from d2sfm.database import FeatureStore, MatchStore, RefinementStore, exclusive
from d2sfm.exchange.export import export_database
from d2sfm.formats.hdf5 import FILE_BYTES, created
from d2sfm.formats.hloc_features import hloc_features_size, write_hloc_features
from d2sfm.formats.hloc_matches import hloc_matches_size, write_hloc_matches
from d2sfm.formats.npz_mat import read_features, read_fingerprint
from d2sfm.matching.match import match_database
from d2sfm.options import Convention, ExportedMatches, ExportFormat, ExportOptions

FINGERPRINT = json.dumps({"extractor": "d2sfm", "convention": "colmap"})
NAMES = ["A.jpg", "a.jpg", "sub/a.jpg", "süd/東 1.jpg"]


@pytest.fixture(scope="module")
def matched(tmp_path_factory):
    """Four images with features; all pairs matched, and said to be verified with half of their matches."""
    path = write_feature_database(
        tmp_path_factory.mktemp("matched") / "db.db", {name: descriptors_of_place(0, 0)[:1] for name in NAMES}
    )
    with FeatureStore(path) as store:
        for seed, name in enumerate(NAMES):
            features = random_features(seed, 60, image_size=(80, 60), input_size=(40, 30))
            features.descriptors[:] = descriptors_of_place(0, seed)
            store.write(name, features, FINGERPRINT)
    match_database(path, verification=None)
    say_verified(path)
    return path


@pytest.fixture
def database(matched, tmp_path):
    """A copy of it."""
    return shutil.copy(matched, tmp_path / "db.db")


def run_sql(database, *statements):
    """Change a database behind d2sfm's back. statements: with their values."""
    connection = sqlite3.connect(database)
    for statement, values in statements:
        connection.execute(statement, values)
    connection.commit()
    connection.close()


def stored(database):
    with FeatureStore(database) as store:
        return {name: store.read(name) for name in store.extracted()}


def test_hloc_reads_the_features(tmp_path, database):
    summary = export_database(database, tmp_path / "out" / "put")
    features = stored(database)
    assert (summary.images, summary.keypoints) == (4, 240)
    for name in NAMES:
        found = keypoints_of_hloc(tmp_path / "out" / "put" / "features.h5", name)
        np.testing.assert_allclose(found, features[name].keypoints[:, :2], atol=1e-5)


@pytest.mark.parametrize("kind", [ExportedMatches.ALL, ExportedMatches.VERIFIED])
def test_hloc_reads_the_matches_of_its_pairs_file(tmp_path, database, kind):
    summary = export_database(database, tmp_path, options=ExportOptions(matches=kind))
    features = stored(database)
    lines = (tmp_path / "pairs.txt").read_text().splitlines()
    with MatchStore(database) as store:
        names = store.image_names()
        inliers = {pair: store.inlier_matches(*pair).tolist() for pair in done_pairs(store, verified=True)}
        pairs = {pair: store.matches(*pair).tolist() for pair in inliers}
    if kind is ExportedMatches.VERIFIED:
        pairs = {pair: of_pair for pair, of_pair in inliers.items() if of_pair}
    # As hloc and COLMAP split it; a name with a space is no name to them, and has a tab behind it.
    separators = {(i, j): "\t" if " " in names[i] + names[j] else " " for i, j in pairs}
    assert set(separators.values()) == {"\t", " "}
    assert lines == [separators[i, j].join((names[i], names[j])) for i, j in sorted(pairs)]
    assert 0 < len(pairs) <= 6
    for (i, j), expected in pairs.items():
        found, scores = matches_of_hloc(tmp_path / "matches.h5", names[i], names[j])
        assert sorted(found.tolist()) == sorted(expected)
        a, b = (features[names[image_id]].descriptors.astype(np.float32) for image_id in (i, j))
        cosine = (a[found[:, 0]] * b[found[:, 1]]).sum(axis=1)
        np.testing.assert_allclose(scores, (1 + cosine) / 2, atol=1e-3)
    assert (summary.pairs, summary.matches) == (len(pairs), sum(map(len, pairs.values())))


def test_fewer_matches_are_verified_than_there_are(tmp_path, database):
    every = export_database(database, tmp_path)
    verified = export_database(database, tmp_path, options=ExportOptions(matches=ExportedMatches.VERIFIED))
    assert verified.matches < every.matches


def test_pairs_without_inliers_are_no_verified_pairs(tmp_path, database):
    every = export_database(database, tmp_path)
    verified = ExportOptions(matches=ExportedMatches.VERIFIED)
    before = export_database(database, tmp_path, options=verified)
    first = "(SELECT min(pair_id) FROM two_view_geometries WHERE rows > 0)"
    run_sql(database, (f"UPDATE two_view_geometries SET rows = 0, data = NULL WHERE pair_id = {first}", ()))
    after = export_database(database, tmp_path, options=verified)
    assert after.pairs == before.pairs - 1 < every.pairs
    assert len((tmp_path / "pairs.txt").read_text().splitlines()) == after.pairs


def test_continued_tracks_stay_in_the_database(tmp_path, database):
    """They have no descriptors that another tool could match; positions and pairs of the others are as ever."""
    export_database(database, tmp_path / "before", options=ExportOptions(matches=ExportedMatches.ALL))
    with RefinementStore(database) as store:
        positions = {image_id: store.keypoints(image_id)[:, :2] for image_id in (1, 2)}
        more = {image_id: np.full((2, 4), 7, np.float32) for image_id in positions}
        store.replace(positions, {}, None, (more, {(1, 2): np.array([[60, 3], [5, 61], [61, 60]])}))
    export_database(database, tmp_path / "after", options=ExportOptions(matches=ExportedMatches.ALL))
    for a, b in ((NAMES[0], NAMES[1]), (NAMES[1], NAMES[0])):
        found = [matches_of_hloc(tmp_path / when / "matches.h5", a, b) for when in ("before", "after")]
        np.testing.assert_array_equal(*(each[0] if isinstance(each, tuple) else each for each in found))
    for name in NAMES[:2]:
        found = [keypoints_of_hloc(tmp_path / when / "features.h5", name) for when in ("before", "after")]
        np.testing.assert_array_equal(*found)


def test_features_alone(tmp_path, database):
    summary = export_database(database, tmp_path / "out", options=ExportOptions(matches=ExportedMatches.NONE))
    assert os.listdir(tmp_path / "out") == ["features.h5"]
    assert summary.pairs is None


@pytest.mark.parametrize("kind", [ExportFormat.NPZ, ExportFormat.MAT])
def test_a_file_for_each_image(tmp_path, database, kind):
    export_database(database, tmp_path / "out", options=ExportOptions(format=kind, extension=".feat"))
    for name, features in stored(database).items():
        path = tmp_path / "out" / f"{name}.feat"
        found = read_features(path)
        np.testing.assert_array_equal(found.keypoints, features.keypoints)
        np.testing.assert_array_equal(found.descriptors, features.descriptors)
        assert found.descriptors.dtype == (np.float16 if kind is ExportFormat.NPZ else np.float32)
        assert read_fingerprint(path) == FINGERPRINT


def test_the_published_codes_frame(tmp_path, database):
    with FeatureStore(database) as store:
        features = random_features(0, image_size=(80, 60), input_size=(40, 30), convention=Convention.REFERENCE)
        store.write("a.jpg", features, '{"convention": "reference"}')
    export_database(database, tmp_path, options=ExportOptions(matches=ExportedMatches.NONE))
    found = keypoints_of_hloc(tmp_path / "features.h5", "a.jpg")
    np.testing.assert_allclose(found, features.keypoints[:, :2] + 5, rtol=1e-5)
    export_database(database, tmp_path, options=ExportOptions(format=ExportFormat.NPZ))
    found = read_features(tmp_path / "a.jpg.d2-net")
    assert found.convention is Convention.REFERENCE
    np.testing.assert_array_equal(found.keypoints, features.keypoints)


def test_names_with_spaces_are_told(tmp_path, database, caplog):
    export_database(database, tmp_path)
    assert (
        "pairs.txt: names with spaces are followed by a tab, which COLMAP and hloc do not read: 1 image" in caplog.text
    )


def refuse(database, output, error, message, **options):
    with pytest.raises(error, match=re.escape(message)):
        export_database(database, output, options=ExportOptions(**options))


def test_databases_without_features(tmp_path, database):
    run_sql(database, ("DELETE FROM d2sfm_features", ()), ("UPDATE descriptors SET type = 0", ()))
    refuse(database, tmp_path / "out", RuntimeError, "db.db holds no d2sfm features, only keypoints of SIFT")
    run_sql(database, ("DELETE FROM descriptors", ()), ("DELETE FROM keypoints", ()))
    told = f"holds no d2sfm features: run d2sfm extract --database {database} --images FOLDER first"
    refuse(database, tmp_path / "out", RuntimeError, told)
    assert not (tmp_path / "out").exists()
    refuse(tmp_path / "no.db", tmp_path / "out", FileNotFoundError, "no database")
    with exclusive(database):
        refuse(database, tmp_path / "out", RuntimeError, "is in use by another run of d2sfm")


def rename(database, name, new):
    run_sql(database, ("UPDATE images SET name = ? WHERE name = ?", (new, name)))


@pytest.mark.parametrize("name", ["../a.jpg", "/tmp/a.jpg", "sub/../../a.jpg"])
def test_names_that_lead_out_of_the_folder(tmp_path, database, name):
    rename(database, "a.jpg", name)
    for kind in ExportFormat:
        refuse(database, tmp_path / "out", ValueError, f"has an image {name}, which is no", format=kind)


def test_names_that_hloc_can_not_tell_apart(tmp_path, database):
    rename(database, "A.jpg", "sub-a.jpg")
    message = "sub-a.jpg and sub/a.jpg are both called sub-a.jpg in hloc's files of matches"
    refuse(database, tmp_path / "out", ValueError, message)
    export_database(database, tmp_path / "out", options=ExportOptions(matches=ExportedMatches.NONE))


def test_names_that_a_pairs_file_can_not_hold_show_before_the_work(tmp_path, database):
    rename(database, "A.jpg", "a\tb.jpg")
    refuse(database, tmp_path / "out", ValueError, "'a\\tb.jpg' can't be written into a pairs file")
    assert not (tmp_path / "out").exists()
    export_database(database, tmp_path / "out", options=ExportOptions(matches=ExportedMatches.NONE))


def test_matches_of_keypoints_that_are_not_there(tmp_path, database):
    match = np.array([[0, 60]], np.uint32).tobytes()
    run_sql(database, ("UPDATE matches SET data = ?, rows = 1", (match,)))
    summary = export_database(database, tmp_path)
    assert "A.jpg - a.jpg" in summary.skipped
    assert set(summary.skipped.values()) == {"has matches of keypoints that do not exist: run d2sfm match --overwrite"}
    assert summary.pairs == 0


def test_a_pair_that_the_layout_can_not_hold_is_left_out_and_named(tmp_path, database):
    """As a matcher of one side gives it, whose file had the images in the other order."""
    every = export_database(database, tmp_path)
    with MatchStore(database) as store:
        store.write(1, 2, np.array([[0, 1], [0, 2]]))
    rest = export_database(database, tmp_path)
    reason = "a keypoint of A.jpg has several matches in a.jpg, but hloc's layout holds one for each keypoint"
    assert rest.skipped == {"A.jpg - a.jpg": reason}
    assert rest.pairs == every.pairs - 1
    assert "A.jpg a.jpg" not in (tmp_path / "pairs.txt").read_text().splitlines()


def test_features_are_replaced_only_with_their_matches(tmp_path, database, monkeypatch):
    output = tmp_path / "out"
    export_database(database, output)
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    with FeatureStore(database) as store:
        store.write(NAMES[0], random_features(9, 20, image_size=(80, 60), input_size=(40, 30)), FINGERPRINT)
    with monkeypatch.context() as patch:
        patch.setattr(MatchStore, "matches", None)  # an error
        with pytest.raises(TypeError):
            export_database(database, output, options=ExportOptions(matches=ExportedMatches.ALL))
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    export_database(database, output)
    assert {path.name: path.read_bytes() for path in output.iterdir()}.keys() == before.keys()
    assert (output / "features.h5").read_bytes() != before["features.h5"]


def test_what_is_there_is_replaced_whole(tmp_path, database):
    with h5py.File(tmp_path / "features.h5", "w") as file:
        file["of another run/keypoints"] = np.zeros((3, 2))
    export_database(database, tmp_path)
    with h5py.File(tmp_path / "features.h5") as file:
        assert sorted(file) == ["A.jpg", "a.jpg", "sub", "süd"]


def test_matches_of_an_earlier_run_are_told_where_they_stay(tmp_path, database, caplog):
    without = ExportOptions(matches=ExportedMatches.NONE)
    export_database(database, tmp_path / "out", options=without)
    assert "earlier run" not in caplog.text
    export_database(database, tmp_path / "out")
    export_database(database, tmp_path / "out", options=without)
    assert f"matches.h5 and pairs.txt in {tmp_path / 'out'}: of an earlier run" in caplog.text


@pytest.mark.parametrize("output", ["file", "file/below"])
def test_a_file_in_the_way_of_the_folder(tmp_path, database, output):
    (tmp_path / "file").write_text("")
    message = f"{tmp_path / output} can't be made: a file is in the way"
    refuse(database, tmp_path / output, ValueError, message)


@pytest.mark.parametrize(
    "names",
    [
        NAMES,
        [f"{number}.jpg" for number in range(10)],
        pytest.param([f"{number}.jpg" for number in range(40)], marks=pytest.mark.slow),
        [f"{'a/' * 30}{'süd' * 60}.jpg"],
    ],
)
@pytest.mark.parametrize("count", [0, 5, 400])
def test_files_are_no_larger_than_what_is_reserved(tmp_path, names, count):
    """HDF5 ends the process where it finds no room for more."""
    features, path = random_features(0, count), tmp_path / "f.h5"
    size = FILE_BYTES + sum(hloc_features_size(name, FINGERPRINT, count, features.descriptors.nbytes) for name in names)
    with created(path, size) as file:
        for name in names:
            write_hloc_features(file, name, features, FINGERPRINT)
    assert path.stat().st_size <= size
    pairs = [(a, b) for a in names for b in names if a < b]
    size = FILE_BYTES + sum(hloc_matches_size(pair, count) for pair in pairs)
    with created(path, size) as file:
        for pair in pairs:
            write_hloc_matches(file, pair, np.zeros((0, 2)), count, np.zeros(0))
    assert path.stat().st_size <= size
