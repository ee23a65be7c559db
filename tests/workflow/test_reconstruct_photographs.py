"""A folder becomes a model: outputs that are refused, and runs that go on, are repeated, killed, or get more to do."""

import logging
import shutil
import time
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pycolmap
import pytest
from support.all_tests import ALL_TESTS
from support.narrow_network import use_narrow_network
from support.runs import finish, start
from support.small_scene import write_small_scene
from support.two_sizes import write_some_features

from d2sfm.cli import main
from d2sfm.database import FeatureStore, MatchStore, create_database, import_photographs
from d2sfm.database.connection import Connection
from d2sfm.extraction.pending import note_folder
from d2sfm.workflow.output import begin_output
from d2sfm.workflow.reconstruct_photographs import RunResult, reconstruct_photographs
from d2sfm.workflow.values import run_values

pytestmark = pytest.mark.usefixtures("narrow_network")

# One thread, so that models are equal to the bit.
QUICK = {"extract": {"camera_mode": "single"}, "reconstruct": {"min_starts": 1, "max_starts": 1, "num_threads": 1}}
QUICK_TOML = '[extract]\ncamera_mode = "single"\n[reconstruct]\nmin_starts = 1\nmax_starts = 1\nnum_threads = 1\n'
KILLS = 10 if ALL_TESTS else 2


@pytest.fixture
def photographs(tmp_path):
    return write_small_scene(tmp_path / "photos")


def model_of(output):
    """The bytes of the first model."""
    return {path.name: path.read_bytes() for path in sorted((output / "sparse" / "0").iterdir())}


def test_an_output_inside_the_photographs_is_refused(photographs, monkeypatch):
    for output in (photographs, photographs / "model", photographs / "a" / ".." / "b"):
        with pytest.raises(ValueError, match=r"lies inside of the photographs .*: give an --output outside of it"):
            reconstruct_photographs(photographs, output)
    monkeypatch.chdir(photographs)
    with pytest.raises(ValueError, match="photos-model lies in"):
        reconstruct_photographs(".")
    assert not (photographs / "photos-model").exists()


def test_an_output_that_is_something_else_is_refused(photographs, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="is a file, expected a folder"):
        reconstruct_photographs(photographs, tmp_path / "file")
    (tmp_path / "db.db").write_text("mine")
    with pytest.raises(ValueError, match=r"holds db\.db, and no run\.toml of a run: give another --output"):
        reconstruct_photographs(photographs, tmp_path)


def test_a_folder_without_photographs_and_a_missing_one_are_refused_before_anything_is_made(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no photographs"):
        reconstruct_photographs(tmp_path / "empty", tmp_path / "model")
    with pytest.raises(FileNotFoundError):
        reconstruct_photographs(tmp_path / "missing", tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("in_others", "rest"),
    [
        ((), "; not in it: 2 photographs (a.jpg the first), for the reasons above"),
        (("b.jpg",), "; in other models: 1 photograph (b.jpg); not in it: 1 photograph (a.jpg), for the reasons above"),
        (("a.jpg", "b.jpg"), "; in other models: 2 photographs (a.jpg the first)"),
    ],
)
def test_photographs_that_another_model_has_are_not_told_as_missing(in_others, rest):
    extension = SimpleNamespace(model=Path("model/sparse/0"))
    stages = dict.fromkeys(["matching", "refinement", "reconstruction", "georeference", "undistortion", "report"])
    folders = {"photographs": Path("photos"), "output": Path("model")}
    photographs = {"total": 9, "left_out": ("a.jpg", "b.jpg"), "in_others": in_others}
    result = RunResult(**folders, **stages, **photographs, extraction=None, extension=extension, not_done={})
    assert str(result).endswith(f"--image_path photos{rest}")


def begun(output, photographs, count=1):
    """An output whose extraction has begun with some photographs, with the values of a low quality."""
    output.mkdir()
    run_values("low").write(output / "run.toml")
    create_database(output / "db.db")
    import_photographs(output / "db.db", photographs, [f"{number}.png" for number in range(count)])


def test_an_output_of_other_values_is_refused_with_what_differs(photographs, tmp_path):
    output = tmp_path / "model"
    begun(output, photographs)
    with pytest.raises(
        RuntimeError, match=r"extract\.max_edge 1024 \(there 640\), .* or continue with --config .*run\.toml"
    ):
        reconstruct_photographs(photographs, output)


def test_other_photographs_of_the_same_names_are_refused_and_nothing_changes(photographs, tmp_path):
    output = tmp_path / "model"
    begun(output, photographs, 5)
    write_some_features(output / "db.db", "{}", "0.png", "1.png")
    note_folder(output / "db.db", photographs)
    values = (output / "run.toml").read_text()
    others = shutil.copytree(photographs, tmp_path / "others")
    (others / "4.png").unlink()
    with pytest.raises(RuntimeError, match=r"db\.db holds the photographs of .*photos: extract those of .*others into"):
        reconstruct_photographs(others, output, quality="low", config={"extract": {"device": "cpu"}})
    with FeatureStore(output / "db.db") as features:
        assert sorted(features.images()) == sorted(path.name for path in photographs.iterdir())
    assert (output / "run.toml").read_text() == values
    moved = photographs.rename(tmp_path / "moved")
    begin_output(moved, output, run_values("low"))


def test_values_of_stages_that_have_left_nothing_may_be_others(photographs, tmp_path, caplog):
    output, others = tmp_path / "model", run_values("low", {"match": {"pairs": "sequential"}})
    caplog.set_level(logging.INFO)
    begun(output, photographs)
    begin_output(photographs, output, others)
    assert "new values, which change no finished work: match.pairs sequential (there auto), " in caplog.text
    assert run_values(config=output / "run.toml") == others
    with pytest.raises(RuntimeError, match=r"extract\.max_edge 1024"):
        begin_output(photographs, output, run_values())
    (output / "sparse").mkdir()
    with pytest.raises(RuntimeError, match=r"with other values than reconstruct\.seed 4 \(there 0\): give"):
        begin_output(photographs, output, run_values("low", {"reconstruct": {"seed": 4}}))
    (output / "db.db").unlink()
    begin_output(photographs, output, run_values())
    assert run_values(config=output / "run.toml") == run_values()


def test_values_that_change_no_result_may_be_others_where_it_is_there(photographs, tmp_path, caplog):
    output = tmp_path / "model"
    caplog.set_level(logging.INFO)
    begun(output, photographs)
    (output / "sparse").mkdir()
    elsewhere = {"device": "cpu", "tile_size": 32, "memory_limit": 1.0, "cache": "maps", "cache_limit": 4.0}
    mirror = {"weights": "d2_tf", "mirror": ["https://mirror.org"]}
    others = run_values("low", {"extract": elsewhere})
    begin_output(photographs, output, others)
    assert (
        "change no finished work: extract.device cpu (there auto), extract.tile_size 32 (there None), " in caplog.text
    )
    assert run_values(config=output / "run.toml") == others
    for named, changed in (("max_keypoints 9", {"max_keypoints": 9}), ("weights d2_tf", mirror)):
        with pytest.raises(RuntimeError, match=rf"other values than extract\.{named} \(there \w+\): give"):
            begin_output(photographs, output, run_values("low", {"extract": elsewhere | changed}))


@pytest.mark.parametrize(
    ("match", "message"),
    [
        ({"pairs": "sequental"}, r"no pairs file sequental: did you mean sequential\?"),
        ({"pairs": "poses", "model": "none"}, "no COLMAP model none"),
        ({"pairs": "retrieval", "global_descriptors": "none.h5"}, r"no file of global descriptors none\.h5"),
    ],
)
def test_what_pairs_are_chosen_by_is_missed_before_anything_is_made(photographs, tmp_path, match, message):
    with pytest.raises(FileNotFoundError, match=message):
        reconstruct_photographs(photographs, tmp_path / "model", config={"match": match})
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("folder", "asked", "message"),
    [
        ("3dgs", {"layout": "3dgs"}, r"3dgs was not made by d2sfm undistort \(no undistorted\.json with its files"),
        ("georeferenced", {"georeferenced": True}, r"holds notes\.md, which d2sfm georeference did not write: give"),
    ],
)
def test_what_lies_where_the_last_stages_write_is_refused_before_the_work(
    photographs, tmp_path, folder, asked, message
):
    (tmp_path / "model" / folder).mkdir(parents=True)
    (tmp_path / "model" / folder / "notes.md").write_text("mine")
    with pytest.raises(ValueError, match=message):
        reconstruct_photographs(photographs, tmp_path / "model", **asked)
    assert [path.name for path in (tmp_path / "model").iterdir()] == [folder]


def test_where_too_few_photographs_can_be_used_it_is_said_why(tmp_path, capsys):
    (tmp_path / "phone").mkdir()
    for name in ("a.HEIC", "b.heic"):
        (tmp_path / "phone" / name).write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert main(["run", str(tmp_path / "phone"), "--output", str(tmp_path / "model"), "--quiet"]) == 2
    *skipped, error = capsys.readouterr().err.splitlines()
    assert len(skipped) == 2
    assert all("d2sfm prepare" in each for each in skipped)
    assert error.endswith("phone has no photograph that can be used, expected two or more")


@pytest.mark.slow
def test_a_folder_becomes_a_refined_model_and_the_command_says_where(
    photographs, with_report, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quick.toml").write_text(QUICK_TOML)
    assert main(["run", "photos", "--config", "quick.toml"]) == 0
    *_, sentence = capsys.readouterr().out.splitlines()
    assert sentence.startswith("run: photos-model/sparse/0 has 5 of 5 photographs; open photos-model/report.html, or ")
    assert "--import_path photos-model/sparse/0 --database_path photos-model/db.db --image_path photos" in sentence
    with FeatureStore("photos-model/db.db") as features:
        assert features.notes.refinement()
    assert len(pycolmap.Reconstruction("photos-model/sparse/0").reg_image_ids()) == 5
    first = model_of(tmp_path / "photos-model")
    repeated = ["run", "photos", "--config", "photos-model/run.toml", "--quiet"]
    assert main(repeated) == 0
    assert model_of(tmp_path / "photos-model") == first
    assert main([*repeated, "--output", "again"]) == 0
    assert model_of(tmp_path / "again") == first
    assert main([*repeated, "--quality", "low", "--seed", "1", "--num-threads", "2"]) == 2
    error = capsys.readouterr().err
    assert all(each in error for each in ("match.seed 1 (there 0)", "max_edge 640 (there 1024)", "num_threads 2 (th"))


@pytest.mark.slow
def test_photographs_without_distortion_of_the_model_are_written_where_a_layout_is_asked_for(photographs, tmp_path):
    output = tmp_path / "model"
    assert reconstruct_photographs(photographs, output, config=QUICK, seed=0).undistortion is None
    before = model_of(output)
    result = reconstruct_photographs(photographs, output, config=QUICK, seed=0, layout="3dgs")  # a run that goes on
    assert model_of(output) == before
    assert (result.undistortion.images, result.undistortion.already_there) == (result.total, 0)
    assert str(result.undistortion) in str(result)
    written = pycolmap.Reconstruction(output / "3dgs/sparse/0")
    assert {image.name for image in written.images.values()} == {path.name for path in photographs.iterdir()}
    again = reconstruct_photographs(photographs, output, config=QUICK | {"undistort": {"layout": "3dgs"}}, seed=0)
    assert again.undistortion.already_there == result.total
    smaller = QUICK | {"undistort": {"layout": "3dgs", "max_edge": 100}}
    again = reconstruct_photographs(photographs, output, config=smaller, seed=0)
    assert again.undistortion.already_there == 0
    [*cameras] = pycolmap.Reconstruction(output / "3dgs/sparse/0").cameras.values()
    assert max(cameras[0].width, cameras[0].height) == 100


@pytest.mark.slow
def test_photographs_that_come_later_are_taken_in_and_bad_ones_named(photographs, tmp_path):
    (photographs / "4.png").rename(tmp_path / "later.png")
    (photographs / "broken.png").write_bytes(b"no picture")
    first = reconstruct_photographs(photographs, tmp_path / "model", config=QUICK)
    assert (first.total, first.left_out) == (5, ("broken.png",))
    assert list(first.skipped) == ["broken.png"]
    assert "has 4 of 5 photographs" in str(first)
    assert str(first).endswith("; not in it: 1 photograph (broken.png), which could not be used")
    (tmp_path / "later.png").rename(photographs / "4.png")
    second = reconstruct_photographs(photographs, tmp_path / "model", config=QUICK)
    assert (second.total, second.left_out, second.is_whole) == (6, ("broken.png",), True)
    assert second.extension.added == ("4.png",)
    assert "has 5 of 6 photographs" in str(second)
    with FeatureStore(tmp_path / "model" / "db.db") as features:
        assert not features.unrefined()
    again = reconstruct_photographs(photographs, tmp_path / "model", config=QUICK)
    assert (again.matching, again.refinement.moved) == (None, 0)


@pytest.mark.slow
def test_photographs_that_are_taken_away_leave_the_model_which_stays_otherwise(photographs, tmp_path, capsys):
    output = tmp_path / "model"
    reconstruct_photographs(photographs, output, config=QUICK)
    before = pycolmap.Reconstruction(output / "sparse" / "0")
    (photographs / "0.png").unlink()
    result = reconstruct_photographs(photographs, output, config=QUICK)
    assert (result.removed, result.total, result.left_out) == (("0.png",), 4, ())
    assert result.reconstruction is None
    after = pycolmap.Reconstruction(output / "sparse" / "0")
    assert sorted(image.name for image in after.images.values()) == ["1.png", "2.png", "3.png", "4.png"]
    for image in after.images.values():
        expected = before.find_image_with_name(image.name).cam_from_world().matrix()
        assert (image.cam_from_world().matrix() == expected).all()
    for name in ("1.png", "2.png", "3.png"):
        (photographs / name).unlink()
    arguments = ["run", str(photographs), "--output", str(output), "--config", str(output / "run.toml"), "--quiet"]
    assert main(arguments) == 2
    assert "lacks 3 of 4 photographs" in capsys.readouterr().err
    assert model_of(output)


@pytest.mark.slow
def test_a_database_that_was_refined_and_not_verified_goes_on(photographs, tmp_path):
    output = tmp_path / "model"
    reconstruct_photographs(photographs, output, config=QUICK)
    first = model_of(output)
    with Connection(output / "db.db") as connection:
        connection.rows("DELETE FROM two_view_geometries WHERE pair_id IN (SELECT pair_id FROM matches LIMIT 3)")
    shutil.rmtree(output / "sparse")
    reconstruct_photographs(photographs, output, config=QUICK)
    with MatchStore(output / "db.db") as store:
        assert not store.unverified_pairs()
    assert model_of(output) == first


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_as_an_unbroken_run(photographs, tmp_path, narrow_weights):
    """With one thread, to the bit."""
    config, prepare, random = tmp_path / "quick.toml", partial(use_narrow, narrow_weights), Random(1)
    config.write_text(QUICK_TOML)

    def command(output):
        return ["run", photographs, "--output", tmp_path / output, "--config", config, "--num-threads", 1]

    started = time.monotonic()
    finish(command("unbroken"), prepare)
    seconds = time.monotonic() - started
    expected, kills = model_of(tmp_path / "unbroken"), 0
    for number in count():
        output = f"broken{number}"
        while kills < KILLS:
            process = start(command(output), prepare)
            process.join(random.uniform(0.1, 0.6) * seconds)
            if process.exitcode is not None:
                break
            process.kill()
            process.join()
            kills += 1
        finish(command(output), prepare)
        assert model_of(tmp_path / output) == expected
        if kills == KILLS:
            return


def use_narrow(weights):
    """In a process of its own."""
    use_narrow_network(pytest.MonkeyPatch(), weights)
