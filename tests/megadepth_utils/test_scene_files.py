from pathlib import Path

import pytest

from megadepth_utils.scene_files import megadepth_files, workspace_files


def test_megadepth_has_depth_maps_without_folders():
    files = megadepth_files(Path("root"), "0007")
    assert files.model == Path("root/Undistorted_SfM/0007/sparse")
    assert files.image_path("sub/b.jpg") == "Undistorted_SfM/0007/images/sub/b.jpg"
    assert files.depth_path("sub/b.jpg") == "phoenix/S6/zl548/MegaDepth_v1/0007/dense0/depths/b.h5"


def test_a_workspace_is_its_own_root_or_lies_below_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own, based = workspace_files(Path("my house")), workspace_files(Path("my house"), Path(), "house")
    assert own.model == based.model == tmp_path / "my house" / "sparse"
    assert [files.root for files in (own, based)] == [tmp_path / "my house", tmp_path]
    assert [files.scene_id for files in (own, based)] == ["my house", "house"]
    assert own.depth_path("sub/b.jpg") == "stereo/depth_maps/sub/b.jpg.geometric.bin"
    assert based.image_path("b.jpg") == "my house/images/b.jpg"
    with pytest.raises(ValueError, match="must lie below the base path"):
        workspace_files(Path("my house"), tmp_path / "elsewhere")


@pytest.mark.parametrize("scene_id", ["../0007", "..", ""])
def test_an_id_that_is_no_folder_name_is_refused(scene_id):
    for make in (lambda: megadepth_files(Path(), scene_id), lambda: workspace_files(Path(), scene_id=scene_id)):
        with pytest.raises(ValueError, match="must be the name of a folder"):
            make()
