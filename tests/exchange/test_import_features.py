"""Import of features and matches: a database becomes files and the files a database; what others wrote; what is bad."""

import json
import re
import shutil
import sqlite3
from functools import partial

import cv2
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.database_contents import done_pairs
from support.feature_records import random_features, write_as_hloc
from support.helpers import textured_picture

from d2sfm.database import FeatureStore, MatchStore, RefinementStore, cameras_given, create_database, import_photographs
from d2sfm.exchange.export import export_database
from d2sfm.exchange.import_features import import_features
from d2sfm.extraction.extract import extract_to_database
from d2sfm.formats.hloc_features import write_hloc_features
from d2sfm.formats.npz_mat import write_features
from d2sfm.matching.match import match_database
from d2sfm.options import (
    CameraMode,
    CameraOptions,
    Convention,
    DescriptorDtype,
    ExportFormat,
    ExportOptions,
    ExtractionOptions,
    ImportOptions,
    VerificationOptions,
)
from d2sfm.refinement.refine import refine_database, restore_database

pytestmark = pytest.mark.usefixtures("narrow_network")

SIZE, INPUT = (160, 120), (80, 60)
NAMES = ["A.jpg", "a.jpg", "a.png", "sub/a.jpg", "süd/東 1.jpg"]
OTHER_LAYOUTS = (ExportFormat.NPZ, ExportFormat.MAT)
LAYOUTS = [ExportFormat.HLOC, *(pytest.param(each, marks=pytest.mark.slow) for each in OTHER_LAYOUTS)]
FINGERPRINT = json.dumps({"extractor": "d2sfm", "convention": "colmap"})


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for index, name in enumerate(NAMES):
        (folder / name).parent.mkdir(exist_ok=True)
        encoded = cv2.imencode(name[-4:], textured_picture(index, SIZE))[1]
        (folder / name).write_bytes(encoded.tobytes())
    return folder


def stored(path):
    """(features by name, their one fingerprint)"""
    with FeatureStore(path) as store:
        fingerprints = store.extracted()
        [fingerprint] = set(fingerprints.values())
        return {name: store.read(name) for name in fingerprints}, fingerprint


def pairs_of(path):
    """Matches by the names of a pair."""
    with MatchStore(path) as store:
        names, done = store.image_names(), done_pairs(store, verified=False)
        found = {}
        for i, j in done:
            matches, pair = store.matches(i, j), (names[i], names[j])
            if pair[0] > pair[1]:
                matches, pair = matches[:, ::-1], pair[::-1]
            found[pair] = sorted(matches.tolist())
        return found


def inliers_of(path):
    """How many inlier matches the pairs have."""
    with MatchStore(path) as store:
        return {pair: len(store.inlier_matches(*pair)) for pair in done_pairs(store, verified=True)}


def assert_equal(found, expected, dtype):
    assert found.keys() == expected.keys()
    for name, features in expected.items():
        # Half a pixel less and more again, in float32.
        np.testing.assert_allclose(found[name].keypoints, features.keypoints, rtol=2**-23, atol=2**-24)
        np.testing.assert_array_equal(found[name].descriptors, features.descriptors.astype(dtype))
        assert found[name].descriptors.dtype == dtype
        assert found[name].input_size == features.input_size
        assert found[name].scales == features.scales


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=4)
@given(
    counts=st.lists(st.integers(0, 12), min_size=len(NAMES), max_size=len(NAMES)),
    scales=st.sampled_from([(1.0,), (0.5, 1.0, 2.0)]),
    dtype=st.sampled_from(DescriptorDtype),
    seed=st.integers(0, 2**32 - 10),
)
def test_a_database_through_files_is_the_same(photographs, tmp_path_factory, counts, layout, scales, dtype, seed):
    folder, generator = tmp_path_factory.mktemp("round"), np.random.default_rng(seed)
    create_database(folder / "a.db")
    import_photographs(folder / "a.db", photographs, NAMES)
    named = {
        name: random_features(seed + index, count, dtype, image_size=SIZE, input_size=INPUT, scales=scales)
        for index, (name, count) in enumerate(zip(NAMES, counts, strict=True))
    }
    with FeatureStore(folder / "a.db") as store:
        for name, features in named.items():
            store.write(name, features, FINGERPRINT)
    with MatchStore(folder / "a.db") as store:
        for i in range(1, len(NAMES) + 1):
            for j in range(i + 1, len(NAMES) + 1):
                of_i, of_j = (counts[NAMES.index(store.image_names()[image_id])] for image_id in (i, j))
                number = generator.integers(0, min(of_i, of_j) + 1)
                matches = [generator.permutation(count)[:number] for count in (of_i, of_j)]
                store.write(i, j, np.stack(matches, axis=1))
    export_database(folder / "a.db", folder / "out", options=ExportOptions(format=layout))
    options, is_hloc = ImportOptions(descriptor_dtype=dtype), layout is ExportFormat.HLOC
    source = folder / "out" / "features.h5" if is_hloc else folder / "out"
    matches = folder / "out" / "matches.h5" if is_hloc else None
    summary = import_features(folder / "b.db", photographs, source, matches=matches, options=options)
    assert (summary.imported, summary.keypoints, summary.skipped) == (len(NAMES), sum(counts), {})
    found, fingerprint = stored(folder / "b.db")
    assert fingerprint == FINGERPRINT
    assert_equal(found, named, dtype)
    assert pairs_of(folder / "b.db") == (pairs_of(folder / "a.db") if is_hloc else {})
    shutil.rmtree(folder)


@pytest.fixture
def from_hloc(tmp_path):
    """Features as hloc's D2-Net would write them, at the cells (i, i), of all photographs."""
    for number, name in enumerate(NAMES, start=2):
        cells = np.arange(number)[:, None].repeat(2, axis=1)
        write_as_hloc(tmp_path / "feats-d2net-ss.h5", name, 4 * cells + 1.5, (INPUT, SIZE))
    return tmp_path / "feats-d2net-ss.h5"


def test_what_hlocs_d2net_wrote(tmp_path, photographs, from_hloc):
    options = ImportOptions(convention=Convention.REFERENCE)
    cameras = CameraOptions(camera_mode=CameraMode.SINGLE, camera_model="PINHOLE", camera_params="150,150,80,60")
    summary = import_features(tmp_path / "db.db", photographs, from_hloc, options=options, cameras=cameras)
    assert (summary.imported, summary.keypoints) == (5, 2 + 3 + 4 + 5 + 6)
    features, fingerprint = stored(tmp_path / "db.db")
    np.testing.assert_allclose(features["a.jpg"].keypoints[:, :2], [[8, 8], [16, 16], [24, 24]], atol=1e-4)
    assert json.loads(fingerprint)["extractor"] == "another, imported from feats-d2net-ss.h5"
    assert json.loads(fingerprint)["convention"] == "colmap, moved from reference"
    with FeatureStore(tmp_path / "db.db") as store:
        assert {image.camera_id for image in store.images().values()} == {1}
        assert store.notes.read("images") == str(photographs)
        assert set(store.resize_factors().values()) == {2}
    assert cameras_given(tmp_path / "db.db") == {1}


def test_an_unstated_frame_is_hlocs_own_and_that_is_said(tmp_path, photographs, from_hloc, caplog):
    import_features(tmp_path / "db.db", photographs, from_hloc)
    assert "feats-d2net-ss.h5 does not say how keypoints of 5 images were made" in caplog.text
    np.testing.assert_allclose(stored(tmp_path / "db.db")[0]["a.jpg"].keypoints[0, :2], [4, 4], atol=1e-4)


def test_features_of_different_kinds_are_not_mixed(tmp_path, photographs, from_hloc):
    def refuse(run, message):
        with pytest.raises(RuntimeError, match=re.escape(message)):
            run()

    database, moved = tmp_path / "db.db", ImportOptions(convention=Convention.REFERENCE)
    import_features(database, photographs, from_hloc)
    message = "holds features with convention colmap, but this run asks for convention colmap, moved from reference"
    refuse(lambda: import_features(database, photographs, from_hloc, options=moved), message)
    shutil.copy(from_hloc, tmp_path / "other.h5")
    message = "imported from feats-d2net-ss.h5, but this run asks for extractor another"
    refuse(lambda: import_features(database, photographs, tmp_path / "other.h5"), message)
    refuse(lambda: extract_to_database(database, photographs), "holds features with extractor another, imported from")


def test_a_second_run_takes_only_what_is_new(tmp_path, photographs, from_hloc):
    with h5py.File(from_hloc, "a") as file:
        file.move("a.png", "kept")
    assert import_features(tmp_path / "db.db", photographs, from_hloc).imported == 4
    with h5py.File(from_hloc, "a") as file:
        file.move("kept", "a.png")
    summary = import_features(tmp_path / "db.db", photographs, from_hloc)
    assert (summary.imported, summary.already_there) == (1, 4)


def test_what_has_no_partner_is_told(tmp_path, photographs, from_hloc, caplog):
    with h5py.File(from_hloc, "a") as file:
        file.move("a.png", "elsewhere.png")
    summary = import_features(tmp_path / "db.db", photographs, from_hloc)
    assert (summary.imported, summary.skipped) == (4, {})
    assert f"no features in {from_hloc}: 1 photograph (a.png)" in caplog.text
    assert f"no photographs below {photographs} for features in {from_hloc}: 1 image (elsewhere.png)" in caplog.text
    for name, message in (
        ("b.jpg", r"none of the 5 .* is among the 1 image of .*, found A\.jpg below it and b\.jpg"),
        ("0.jpg/1.jpg", "holds no features of images .*--matches"),
    ):
        with h5py.File(tmp_path / "other.h5", "w") as file:
            file[f"{name}/{'keypoints' if name == 'b.jpg' else 'matches0'}"] = np.zeros((1, 2))
        with pytest.raises(ValueError, match=message):
            import_features(tmp_path / "other.db", photographs, tmp_path / "other.h5")
    assert not (tmp_path / "other.db").exists()


BAD = {
    "keypoints": (np.full((2, 2), np.nan, np.float32), "its keypoints or scores are not all finite"),
    "scores": (np.full(2, np.inf), "its keypoints or scores are not all finite"),
    "descriptors": (np.full((512, 2), 0.3), "its descriptors are not all unit vectors"),
    "image_size": (np.array([120, 160]), "is for a picture of 120 x 160 px"),
}


@pytest.mark.parametrize("key", BAD)
def test_bad_features_are_skipped_and_leave_nothing_behind(tmp_path, photographs, from_hloc, key):
    values, message = BAD[key]
    with h5py.File(from_hloc, "a") as file:
        del file[f"A.jpg/{key}"]
        file[f"A.jpg/{key}"] = values
    summary = import_features(tmp_path / "db.db", photographs, from_hloc)
    assert summary.imported == 4
    assert list(summary.skipped) == ["A.jpg"]
    assert message in summary.skipped["A.jpg"]
    with FeatureStore(tmp_path / "db.db") as store:
        assert "A.jpg" not in store.images()


def test_what_was_imported_stays_where_its_file_is_damaged_since(tmp_path, photographs, from_hloc):
    with h5py.File(from_hloc, "a") as file:
        file.move("a.png", "kept")
    import_features(tmp_path / "db.db", photographs, from_hloc)
    before = stored(tmp_path / "db.db")[0]
    with h5py.File(from_hloc, "a") as file:
        file.move("kept", "a.png")
        file["A.jpg"].attrs["d2sfm"] = np.bytes_(b"{")
    summary = import_features(tmp_path / "db.db", photographs, from_hloc)
    assert (summary.imported, summary.already_there, list(summary.skipped)) == (1, 4, ["A.jpg"])
    after = stored(tmp_path / "db.db")[0]
    assert_equal({name: after[name] for name in before}, before, "float16")


def test_keypoints_outside_of_the_picture(tmp_path, photographs, from_hloc):
    with h5py.File(from_hloc, "a") as file:
        file["A.jpg/keypoints"][0] = 161.6, 3
        file["a.png/keypoints"][1:3] = [[4, -9], [5, 5000]]
        counts = [len(file[f"{name}/keypoints"]) for name in ("A.jpg", "a.png")]
    summary = import_features(tmp_path / "db.db", photographs, from_hloc)
    assert summary.skipped == {
        "A.jpg": f"1 of {counts[0]} keypoints lies outside of the 160 x 120 px: (162.1, 3.5)",
        "a.png": f"2 of {counts[1]} keypoints lie outside of the 160 x 120 px: (4.5, -8.5) the first",
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_keypoints_that_refinement_led_out_of_the_picture_come_back(tmp_path, photographs, from_hloc, layout):
    import_features(tmp_path / "db.db", photographs, from_hloc)
    with RefinementStore(tmp_path / "db.db") as store:
        xy = store.keypoints(1)[:, :2].copy()
        xy[0] = -9.5, 60.0
        store.replace({1: xy}, {"max_error": 2.0})
    export_database(tmp_path / "db.db", tmp_path / "out", options=ExportOptions(format=layout))
    files = tmp_path / "out" / "features.h5" if layout is ExportFormat.HLOC else tmp_path / "out"
    summary = import_features(tmp_path / "again.db", photographs, files)
    assert (summary.imported, summary.skipped) == (5, {})


def test_damaged_photographs_and_those_that_hloc_may_have_turned(tmp_path, photographs, from_hloc):
    folder = tmp_path / "copy"
    shutil.copytree(photographs, folder)
    (folder / "a.jpg").write_text("no picture")
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(photographs / "A.jpg").save(folder / "A.jpg", exif=exif)
    summary = import_features(tmp_path / "db.db", folder, from_hloc)
    assert summary.imported == 3
    assert summary.skipped["A.jpg"].startswith(
        "has an EXIF orientation, and its size does not show whether hloc turned"
    )
    assert "a.jpg" in summary.skipped


def write_pair(path, key, partners, scores=None):
    with h5py.File(path, "a") as file:
        file[f"{key}/matches0"] = np.array(partners, np.int16)
        file[f"{key}/matching_scores0"] = np.array(scores or np.ones(len(partners)), np.float16)


def test_matches_of_hloc(tmp_path, photographs, from_hloc, caplog):
    path = tmp_path / "m.h5"
    write_pair(path, "a.jpg/A.jpg", [1, -1, 0])  # 3 and 2 keypoints
    write_pair(path, "sub-a.jpg_a.png", [-1, -1, 3, -1, 0])  # 5 and 4
    write_pair(path, "a.jpg/a.png", [4, 0, 1])  # 4 is not there
    write_pair(path, "a.jpg/other.jpg", [4, 0, 1])
    summary = import_features(tmp_path / "db.db", photographs, from_hloc, matches=path)
    assert (summary.pairs, summary.matches, summary.verified) == (2, 4, None)
    assert list(summary.skipped) == ["a.jpg - a.png"]
    assert "names keypoints 0 to 4 of 4" in summary.skipped["a.jpg - a.png"]
    assert "left out: 1 pair of" in caplog.text
    expected = {("A.jpg", "a.jpg"): [[0, 2], [1, 0]], ("a.png", "sub/a.jpg"): [[0, 4], [3, 2]]}
    assert pairs_of(tmp_path / "db.db") == expected
    again = import_features(tmp_path / "db.db", photographs, from_hloc, matches=path)
    assert (again.pairs, again.already_there) == (0, 5)


def test_scores_of_hlocs_matches_are_kept_as_similarities(tmp_path, photographs, from_hloc):
    write_pair(tmp_path / "m.h5", "a.jpg/A.jpg", [1, -1, 0], [0.5, 0, 0.75])
    write_pair(tmp_path / "m.h5", "a.png/A.jpg", [1, 0, -1, -1])
    assert import_features(tmp_path / "db.db", photographs, from_hloc, matches=tmp_path / "m.h5").pairs == 2
    with MatchStore(tmp_path / "db.db") as store:
        ids = store.image_ids()
        assert store.matches(ids["a.jpg"], ids["A.jpg"]).tolist() == [[0, 1], [2, 0]]
        assert store.similarities(ids["A.jpg"], ids["a.jpg"]).tolist() == [0.5, 0.75]
        assert store.similarities(ids["a.png"], ids["A.jpg"]) is None


def test_matches_count_no_continued_tracks(tmp_path, photographs, from_hloc):
    import_features(tmp_path / "db.db", photographs, from_hloc)
    with MatchStore(tmp_path / "db.db") as store:
        ids = store.image_ids()
    with RefinementStore(tmp_path / "db.db") as store:
        places = {ids[name]: store.keypoints(ids[name])[:, :2] for name in ids}
        more = {ids[name]: np.ones((2, 4), np.float32) for name in ("a.jpg", "A.jpg")}
        store.replace(places, {}, None, (more, {}))
    write_pair(tmp_path / "m.h5", "a.jpg/A.jpg", [1, -1, 0])  # 3 and 2 keypoints of their own
    write_pair(tmp_path / "m.h5", "a.jpg/a.png", [1, 0, -1])
    write_pair(tmp_path / "m.h5", "sub-a.jpg/A.jpg", [3, -1, -1, -1, -1])  # a continued one
    summary = import_features(tmp_path / "db.db", photographs, from_hloc, matches=tmp_path / "m.h5")
    assert (summary.pairs, summary.matches) == (2, 4)
    assert list(summary.skipped) == ["A.jpg - sub/a.jpg"]


@pytest.mark.parametrize("is_refined", [False, True])
def test_matches_count_keypoints_of_the_file_that_was_imported(tmp_path, photographs, from_hloc, is_refined):
    database = tmp_path / "db.db"
    import_features(database, photographs, from_hloc)
    if is_refined:
        with MatchStore(database) as store:
            ids = store.image_ids()
        with RefinementStore(database) as store:
            store.replace({ids[name]: store.keypoints(ids[name])[:, :2] + 3 for name in ids}, {}, None)
    write_pair(tmp_path / "m.h5", "a.jpg/A.jpg", [1, -1, 0])
    taken = partial(import_features, database, photographs, matches=tmp_path / "m.h5")
    with h5py.File(from_hloc, "a") as file:
        right = file["a.jpg/keypoints"][:]
        file["a.jpg/keypoints"][:] = right[::-1]
    with pytest.raises(
        RuntimeError, match=r"db\.db holds other keypoints of 1 image \(a\.jpg\) than .*ss\.h5: give the"
    ):
        taken(from_hloc)
    assert import_features(database, photographs, from_hloc).already_there == 5
    with h5py.File(from_hloc, "a") as file:
        file["a.jpg/keypoints"][:] = right
    assert taken(from_hloc).pairs == 1


def test_a_file_with_matches_of_none_of_the_images_counts_as_skipped(tmp_path, photographs, from_hloc):
    write_pair(tmp_path / "m.h5", "a.jpg/other.jpg", [4, 0, 1])
    summary = import_features(tmp_path / "db.db", photographs, from_hloc, matches=tmp_path / "m.h5")
    expected = f"none of its 1 pair is of images with features in {tmp_path / 'db.db'}"
    assert summary.skipped == {str(tmp_path / "m.h5"): expected}


def test_a_bad_file_of_matches_shows_before_the_work(tmp_path, photographs, from_hloc):
    (tmp_path / "m.h5").write_text("no matches")
    for path, error in (("m.h5", ValueError), ("nowhere.h5", FileNotFoundError)):
        with pytest.raises(error, match=re.escape(path)):
            import_features(tmp_path / "db.db", photographs, from_hloc, matches=tmp_path / path)
    assert not (tmp_path / "db.db").exists()


def test_files_of_the_published_tool(tmp_path, photographs):
    for name in NAMES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with (tmp_path / f"{name}.d2-net").open("wb") as stream:
            np.savez(stream, keypoints=np.array([[3.0, 3, 1]]), scores=np.ones(1), descriptors=np.eye(1, 512))
    summary = import_features(tmp_path / "no.db", photographs, tmp_path)
    assert set(summary.skipped) == set(NAMES)
    assert "give --convention reference" in summary.skipped["a.jpg"]
    options = ImportOptions(convention=Convention.REFERENCE, max_edge=80)
    assert import_features(tmp_path / "db.db", photographs, tmp_path, options=options).imported == 5
    features, fingerprint = stored(tmp_path / "db.db")
    assert features["a.jpg"].keypoints.tolist() == [[8, 8, 2, 1]]
    assert json.loads(fingerprint)["max_edge"] == 80


def test_files_of_different_settings(tmp_path, photographs):
    for name, edge in (("A.jpg", 80), ("a.jpg", 96)):
        write_features(tmp_path / f"{name}.d2-net", random_features(0), fingerprint=f'{{"max_edge": {edge}}}')
    message = f'{tmp_path} mixes features: A.jpg with {{"max_edge": 80}}, a.jpg with {{"max_edge": 96}}'
    with pytest.raises(ValueError, match=re.escape(message)):
        import_features(tmp_path / "db.db", photographs, tmp_path)


@pytest.mark.parametrize("fingerprint", ["settings", "[1]", "{"])
def test_fingerprints_that_are_none(tmp_path, photographs, fingerprint):
    (tmp_path / "npz").mkdir()
    with h5py.File(tmp_path / "f.h5", "w") as file:
        write_hloc_features(file, "A.jpg", random_features(0), FINGERPRINT)
        write_hloc_features(file, "a.jpg", random_features(0), FINGERPRINT)
        noted = json.loads(file["a.jpg"].attrs["d2sfm"]) | {"fingerprint": fingerprint}
        file["a.jpg"].attrs["d2sfm"] = np.bytes_(json.dumps(noted))
    for name, text in (("A.jpg", FINGERPRINT), ("a.jpg", fingerprint)):
        write_features(tmp_path / "npz" / f"{name}.d2-net", random_features(0), fingerprint=text)
    for source in ("f.h5", "npz"):
        summary = import_features(tmp_path / f"{source}.db", photographs, tmp_path / source)
        assert summary.imported == 1
        assert summary.skipped == {"a.jpg": f"fingerprint {fingerprint} is not a JSON object"}


def test_scales_of_keypoints_are_above_0(tmp_path, photographs):
    features = random_features(0)
    features.keypoints[2, 2] = -1
    (tmp_path / "npz").mkdir()
    write_features(tmp_path / "npz" / "a.jpg.d2-net", features)
    summary = import_features(tmp_path / "db.db", photographs, tmp_path / "npz")
    assert summary.skipped == {"a.jpg": "its keypoints have scales of 0 or below"}


@pytest.mark.slow
def test_imported_features_are_matched_refined_and_restored(tmp_path, caplog):
    """hloc notes the resize factor, from which the size of the network's input comes that refinement needs."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    wide = textured_picture(0, (184, 120))
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), np.ascontiguousarray(wide[:, 12 * index : 12 * index + 160]))
    extract_to_database(tmp_path / "a.db", folder, options=ExtractionOptions(max_edge=160))
    with FeatureStore(tmp_path / "a.db") as store:
        for name in store.extracted():
            features = store.read(name)
            published = features.keypoints[:, :2] - 2.5  # single scale, input of the photograph's size
            found = {"scores": features.scores, "descriptors": np.ascontiguousarray(features.descriptors.T)}
            write_as_hloc(tmp_path / "f.h5", name, published, ((160, 120),) * 2, **found)
    verification = VerificationOptions(max_error=4, min_num_inliers=6)
    match_database(tmp_path / "a.db", verification=verification)
    export_database(tmp_path / "a.db", tmp_path)
    summary = import_features(
        tmp_path / "b.db",
        folder,
        tmp_path / "f.h5",
        matches=tmp_path / "matches.h5",
        options=ImportOptions(convention=Convention.REFERENCE),
        verification=verification,
    )
    assert summary.pairs == summary.verified == 3
    assert "verified with" not in caplog.text
    again = import_features(
        *(tmp_path / "b.db", folder, tmp_path / "f.h5"),
        matches=tmp_path / "matches.h5",
        options=ImportOptions(convention=Convention.REFERENCE),
        verification=VerificationOptions(max_error=2, min_num_inliers=6),
    )
    assert again.pairs == again.verified == 0
    assert "existing pairs, verified with max_error 4.0 (now 2.0), stay unchanged" in caplog.text
    before = stored(tmp_path / "b.db")[0]
    assert_equal(before, stored(tmp_path / "a.db")[0], "float16")
    refined = [refine_database(tmp_path / name, folder) for name in ("a.db", "b.db")]
    assert refined[1].moved == refined[0].moved > 0
    geometries = inliers_of(tmp_path / "b.db")
    with sqlite3.connect(tmp_path / "b.db") as connection:
        connection.execute("DELETE FROM two_view_geometries")
        connection.execute("DELETE FROM matches")
    connection.close()
    again = import_features(
        *(tmp_path / "b.db", folder, tmp_path / "f.h5"),
        matches=tmp_path / "matches.h5",
        options=ImportOptions(convention=Convention.REFERENCE),
        verification=verification,
    )
    assert again.pairs == 3
    assert inliers_of(tmp_path / "b.db") == geometries  # within refinement's threshold
    assert restore_database(tmp_path / "b.db") == 3
    assert_equal(stored(tmp_path / "b.db")[0], before, "float16")
    with MatchStore(tmp_path / "b.db") as store:
        assert len(store.done_pairs(verified=True)) == 3  # as it was noted how they had been verified
    again = match_database(tmp_path / "b.db", verification=verification)
    assert again.already_there == again.pairs == 3
