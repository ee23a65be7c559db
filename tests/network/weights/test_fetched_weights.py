"""Whatever takes weights by name takes those that the authors publish, from the mirrors that the user names."""

import os
import shutil
from pathlib import Path

import cv2
import pytest
from support.helpers import textured_picture, write_plane_scene

from d2sfm.cli import main
from d2sfm.database import FeatureStore
from d2sfm.features.extractor import Extractor
from d2sfm.network.weights import download
from d2sfm.network.weights.load import BUNDLED, digest, load_weights
from d2sfm.options import ExtractionOptions, RefinementOptions
from d2sfm.options.training import TrainingOptions

pytestmark = pytest.mark.usefixtures("narrow_training")


@pytest.fixture
def real_site(site):
    """Offers the bundled weights under the published names."""
    site.content = BUNDLED["d2_ots"].read_bytes()
    return site


def test_load_weights_takes_the_published_names(real_site, cache, tmp_path, monkeypatch):
    (tmp_path / "d2_tf").write_text("a file that is called so must be given as ./d2_tf")
    monkeypatch.chdir(tmp_path)
    for name in ("d2_tf", "d2_tf_no_phototourism"):
        assert digest(load_weights(name)) == digest(load_weights("d2_ots"))
    with pytest.raises(ValueError, match=r"^d2_tf "):
        load_weights("./d2_tf")


def test_only_a_checkpoint_gets_the_name(site, cache):
    with pytest.raises(FileNotFoundError, match=r"d2_tf\.pth\.part is not a PyTorch checkpoint|can't be read"):
        load_weights("d2_tf")
    assert os.listdir(cache) == ["d2_tf.pth.lock"]


def test_mirrors_do_not_enter_what_features_are_known_by(real_site):
    options = ExtractionOptions(weights="d2_tf", mirror=(real_site.url,))
    assert Extractor(options).fingerprint == Extractor(ExtractionOptions()).fingerprint


@pytest.mark.parametrize("kind", [ExtractionOptions, RefinementOptions, TrainingOptions])
@pytest.mark.parametrize(
    ("weights", "mirror", "message"),
    [
        ("d2_tf", ("ftp://host/files",), "mirror must start with http:// or https://, found 'ftp://host/files'"),
        ("d2_ots", ("http://host",), "mirror goes with weights d2_tf or d2_tf_no_phototourism, not with d2_ots"),
    ],
)
def test_mirrors_that_make_no_sense_are_refused(kind, weights, mirror, message):
    with pytest.raises(ValueError, match=message):
        kind(weights=weights, mirror=mirror)


@pytest.fixture
def photographs(tmp_path):
    folder, whole = tmp_path / "photographs", textured_picture(3, (240, 160))
    folder.mkdir()
    for index in range(2):
        cv2.imwrite(str(folder / f"{index}.png"), whole[:, 20 * index : 20 * index + 220])
    return folder


@pytest.mark.slow
def test_extract_and_refine_fetch_from_the_mirrors(real_site, other, photographs, tmp_path, cache, monkeypatch):
    """The mirror alone is asked, once; the second run with another one finds the same features."""
    database, run = str(tmp_path / "db.db"), ["--quiet", "--database", str(tmp_path / "db.db")]
    other.content = real_site.content
    fetched = ["--weights", "d2_tf", "--mirror", other.url, real_site.url]
    assert main(["extract", "--images", str(photographs), *run, *fetched]) == 0
    shutil.rmtree(cache)
    assert main(["extract", "--images", str(photographs), *run, "--weights", "d2_tf", "--mirror", real_site.url]) == 0
    with FeatureStore(database) as store:
        assert "http" not in "".join(store.extracted().values())
    assert main(["match", *run]) == 0
    shutil.rmtree(cache)
    assert main(["refine", *run, *fetched]) == 0
    assert (len(other.requests), len(real_site.requests)) == (2, 1)


def test_train_fetches_from_the_mirrors(real_site, other, tmp_path, capsys):
    write_plane_scene(tmp_path)
    (tmp_path / "scenes.txt").write_text("0000\n")
    paths = ["--dataset-path", tmp_path, "--scene-info-path", tmp_path / "info", "--output", tmp_path / "out"]
    quick = ["--image-size", "112", "--pairs-per-scene", "1", "--num-epochs", "1", "--device", "cpu"]
    quick += ["--num-workers", "0", "--train-scenes", tmp_path / "scenes.txt"]
    fetched = ["--weights", "d2_tf", "--mirror", other.url]
    other.content = real_site.content
    assert main(["train", *map(str, [*paths, *quick]), *fetched]) == 0
    assert (len(other.requests), len(real_site.requests)) == (1, 0)


def test_the_command_line_tells_it_in_one_line(monkeypatch, photographs, tmp_path, capsys, cache):
    monkeypatch.setattr(download, "SITE", "http://weights.invalid")
    database = str(tmp_path / "db.db")
    assert main(["extract", "--images", str(photographs), "--database", database, "--weights", "d2_tf", "--quiet"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: d2sfm extract: no weights d2_tf: http://weights.invalid/d2_tf.pth: no connection")
    assert not Path(database).exists()
