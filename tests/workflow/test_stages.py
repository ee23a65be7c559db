"""A run with --georeference: the first model at its place, or a reason and the model as it was."""

import json
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from support.placed_model import PLACE
from support.small_scene import write_small_scene

from d2sfm.cli import main
from d2sfm.colmap import read_model
from d2sfm.database import MatchStore, create_database
from d2sfm.workflow.by_cluster import stage_functions
from d2sfm.workflow.stages import Stages
from d2sfm.workflow.times import Times
from d2sfm.workflow.values import run_values

pytestmark = [pytest.mark.usefixtures("narrow_network"), pytest.mark.slow]

TOML = '[extract]\ncamera_mode = "single"\n[reconstruct]\nmin_starts = 1\nmax_starts = 1\n'
SPACING_M = 20.0


def write_positions_of(database):
    """GPS positions of the photographs, from west to east in a row."""
    with MatchStore(database) as store:
        names = store.image_names()
    with pycolmap.Database.open(database) as colmap:
        for image_id, name in names.items():
            place = np.array([SPACING_M * int(name[0]), 0, 190])
            prior = pycolmap.PosePrior(
                position=PLACE.to_geographic(place[None])[0],
                coordinate_system=pycolmap.PosePriorCoordinateSystem.WGS84,
                corr_data_id=colmap.read_image(image_id).data_id,
            )
            colmap.write_pose_prior(prior)


@pytest.mark.usefixtures("with_report")
def test_a_run_ends_with_the_model_at_its_place_or_tells_why_not(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_small_scene(tmp_path / "photos")
    (tmp_path / "quick.toml").write_text(TOML)
    (tmp_path / "up.toml").write_text(f"{TOML}[georeference]\nenabled = true\nup = true\n")
    assert main(["run", "photos", "--config", "quick.toml", "--georeference", "--json"]) == 1
    said = capsys.readouterr()
    found = json.loads(said.out)["results"]["run"]
    assert found["georeference"] is None
    assert "db.db has no position of any image of the model" in found["not_done"]["georeference"]
    assert "warning: not georeferenced: photos-model/db.db has no position" in said.err
    assert found["reconstruction"]["models"] == ["photos-model/sparse/0"]
    assert "enabled = true" in (tmp_path / "photos-model" / "run.toml").read_text()
    write_positions_of(tmp_path / "photos-model" / "db.db")
    # The report is of the model at its place, and tells the times of both runs.
    assert main(["run", "photos", "--config", "up.toml", "--undistort", "nerfstudio"]) == 0
    said = capsys.readouterr()
    assert "georeference: photos-model/georeferenced is in metres east, north and up" in said.out
    assert "report: photos-model/report.html" in said.out
    page = (tmp_path / "photos-model" / "report.html").read_text(encoding="utf-8")
    assert "How far positions are off" in page
    assert "d2sfm run photos --config run.toml" in page
    times = json.loads((tmp_path / "photos-model" / "times.json").read_text())
    assert {"extract", "match", "refine", "reconstruct"} <= times.keys()
    assert all(f"<dt>{stage}</dt>" in page for stage in times)
    centres = {
        image.name: image.projection_center()
        for image in read_model(tmp_path / "photos-model" / "georeferenced").images.values()
    }
    assert centres["4.png"][0] - centres["0.png"][0] == pytest.approx(4 * SPACING_M, rel=0.02)
    # What is undistorted is the model in metres; nerfstudio's x axis is that of the model.
    transforms = json.loads((tmp_path / "photos-model" / "nerfstudio" / "transforms.json").read_text())
    for frame in transforms["frames"]:
        assert frame["transform_matrix"][0][3] == pytest.approx(centres[Path(frame["file_path"]).name][0])
    # The model changes, and is not asked to be at its place again.
    (tmp_path / "photos" / "0.png").unlink()
    assert main(["run", "photos", "--config", "quick.toml"]) == 0
    said = capsys.readouterr()
    assert "not shown: photos-model/georeferenced is not of photos-model/sparse/0 as it is now" in said.err
    assert "4 of 4 photographs placed" in said.out


@pytest.fixture
def stages(tmp_path):
    """Of a run with all last stages, whose database is empty."""
    create_database(tmp_path / "db.db")
    (tmp_path / "run.toml").write_text("")
    values = run_values(georeferenced=True, layout="3dgs")
    return Stages(
        photographs=tmp_path / "photos",
        output=tmp_path,
        values=values,
        times=Times(tmp_path, values),
        functions=stage_functions(None),
        progress=False,
    )


@pytest.mark.usefixtures("with_report")
def test_a_report_that_can_not_be_written_costs_nothing_else(stages, caplog):
    page, reason = stages.report()
    assert page is None
    assert reason == {"report": "nothing to report: found neither a model nor a database with photographs"}
    assert "no report: nothing to report" in caplog.text


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("damaged"), ValueError("odd")])
@pytest.mark.usefixtures("with_report")
def test_no_stage_after_the_model_costs_the_others(stages, error, monkeypatch, caplog):
    def fails(*_, **__):
        raise error

    for name in ("georeference_model", "write_report", "undistort"):
        monkeypatch.setattr(f"d2sfm.workflow.stages.{name}", fails)
    assert stages.georeference(Path("0")) == (None, {"georeference": str(error)})
    assert stages.report() == (None, {"report": str(error)})
    assert stages.undistort(Path("0")) == (None, {"undistort": str(error)})
    said = [f"{lacking}: {error}" for lacking in ("not georeferenced", "no report", "not undistorted")]
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == said


def test_a_run_ends_with_its_summary_where_undistortion_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_small_scene(tmp_path / "photos")
    (tmp_path / "quick.toml").write_text(TOML)
    command = ["run", "photos", "--config", "quick.toml", "--undistort", "colmap"]
    assert main(command) == 0
    maps = tmp_path / "photos-model" / "colmap" / "stereo" / "depth_maps"
    (maps / "0.png.geometric.bin").write_bytes(b"of hours")
    (tmp_path / "quick.toml").write_text(f"{TOML}[undistort]\nmax_edge = 100\n")
    capsys.readouterr()
    assert main([*command, "--json"]) == 1
    said = capsys.readouterr()
    found = json.loads(said.out)["results"]["run"]
    assert found["undistortion"] is None
    assert "holds stereo/depth_maps/0.png.geometric.bin, which d2sfm did not" in found["not_done"]["undistort"]
    assert "warning: not undistorted: photos-model/colmap holds" in said.err
    assert found["left_out"] == []
