import cv2
import numpy as np
import pycolmap
import pytest

from d2sfm.cli import main
from d2sfm.demo import photographs, show
from d2sfm.demo.scene import arc_of_views
from d2sfm.demo.show import DemoResult
from d2sfm.demo.show import show as show_square
from d2sfm.evaluation.poses import PoseErrors
from d2sfm.mapping.reconstruct import ReconstructionResult
from d2sfm.options import DemoOptions

FULL_VIEWS, SMALL_VIEWS, SMALL_SIZE = 8, 6, (200, 150)


@pytest.fixture(scope="module")
def full_demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    return folder, show_square(folder, options=DemoOptions(views=FULL_VIEWS))


@pytest.fixture(scope="module")
def small_demo(tmp_path_factory, square):
    """A run with photographs of a tenth of the pixels, and so with cameras that are not as exact."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photographs, "build_square", lambda seed: square)
        patch.setattr(photographs, "arc_of_views", lambda centre, count, _: arc_of_views(centre, count, SMALL_SIZE))
        return folder, show_square(folder, options=DemoOptions(views=SMALL_VIEWS))


@pytest.fixture(
    params=[
        pytest.param(("small_demo", SMALL_VIEWS), marks=pytest.mark.slow),
        pytest.param(("full_demo", FULL_VIEWS), marks=pytest.mark.slow),
    ],
    ids=["small", "full"],
)
def demo(request):
    """(folder, result, number of views)."""
    name, views = request.param
    return *request.getfixturevalue(name), views


@pytest.mark.slow
def test_the_whole_pipeline_finds_the_true_cameras(full_demo):
    """Render, extract, match, verify, refine, map: cameras whose truth is exact."""
    _, result = full_demo
    assert result.reconstruction.statistics[0].images == FULL_VIEWS
    assert np.median(result.errors.rotation_deg) < 0.2
    assert np.median(result.errors.centre) < 0.003 * result.extent_m
    assert result.reconstruction.statistics[0].points > 500


@pytest.mark.slow
def test_the_pipeline_finds_the_cameras_of_small_photographs(small_demo):
    _, result = small_demo
    assert result.reconstruction.statistics[0].images == SMALL_VIEWS
    assert np.median(result.errors.rotation_deg) < 3
    assert np.median(result.errors.centre) < 0.01 * result.extent_m
    assert result.reconstruction.statistics[0].points > 100


def test_the_result_is_a_table_with_both_errors(demo):
    _, result, views = demo
    text = str(result)
    assert f"{views} of {views}" in text
    assert "rotation, degrees" in text
    assert "% of the scene" in text


def test_the_folder_holds_photographs_models_and_pictures(demo):
    folder, _, views = demo
    names = {path.name for path in folder.iterdir()}
    pictures = {"keypoints.png", "matches.png", "cameras.png"}
    assert names == {"images", "truth", "db.db", "sparse", "d2sfm_demo.txt"} | pictures
    assert len(list((folder / "images").iterdir())) == views
    for name in ("keypoints.png", "matches.png", "cameras.png"):
        assert cv2.imread(str(folder / name)).std() > 10


@pytest.fixture
def night_result(tmp_path) -> DemoResult:
    errors = PoseErrors(
        names=("view_00_day.png", "view_01_night.png", "view_03_night.png"),
        rotation_deg=np.array([0.125, 0.25, 0.75]),
        centre=np.array([0.01, 0.02, 0.04]),
        centre_in_truth=np.eye(3),
        truth_from_model=pycolmap.Sim3d(),
    )
    made = ReconstructionResult(models=(), statistics=(), starts=(), kept=None, images=4, pairs=())
    return DemoResult(folder=tmp_path, reconstruction=made, errors=errors, extent_m=20.0, seconds=1.0)


def test_day_and_night_have_rows_of_their_own(night_result):
    rows = [line.split() for line in str(night_result).splitlines() if "rotation" in line or "cm" in line]
    assert [row[1:2] + row[-2:] for row in rows] == [
        ["day:", "0.125", "0.125"],
        ["day:", "1.000", "1.000"],
        ["night:", "0.500", "0.750"],
        ["night:", "3.000", "4.000"],
    ]


def test_the_command_hands_the_night_on(night_result, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(show, "show", lambda *arguments, options, progress: asked.append(options) or night_result)
    assert main(["demo", "--night", "--views", "8"]) == 0
    assert asked == [DemoOptions(views=8, night=True)]
    assert "by night: rotation" in capsys.readouterr().out


def test_a_demonstration_takes_no_other_folder(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(ValueError, match="files of another program"):
        show_square(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"mine\.txt"):
        show_square(tmp_path)
    with pytest.raises(ValueError, match="is a file"):
        show_square(tmp_path / "mine.txt")
    assert (tmp_path / "mine.txt").read_text() == "mine"
