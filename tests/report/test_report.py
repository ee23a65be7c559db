"""The page: whatever stands in names and EXIF data is text, nothing leads out of it, and what is to stay out does."""

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pycolmap
import pytest
from PIL import Image
from support.placed_model import write_given, write_positions
from support.reported import HOSTILE, MAKER, write_reported

from d2sfm.cli import main
from d2sfm.colmap import posed_images, read_model
from d2sfm.demo.photographs import truth_model
from d2sfm.demo.scene import arc_of_views
from d2sfm.georeference.georeference import georeference_model
from d2sfm.mapping.model_removal import remove_from_model
from d2sfm.options import GeoreferenceOptions
from d2sfm.plots.reconstruction import model_png
from d2sfm.report.models import find_models, read_models
from d2sfm.report.names import shown, shown_name
from d2sfm.report.pictures import MOST_BYTES, read_pictures
from d2sfm.report.report import write_report


class Parsed(HTMLParser):
    """Elements with their attributes, scripts, and texts in elements of a kind."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self.names, self._open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._open.append(tag)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if self._open and self._open[-1] == "script":
            self.scripts.append((self.elements[-1][1], data))
        elif self._open and self._open[-1] == "bdi":
            self.names.append(data)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    return write_reported(tmp_path_factory.mktemp("hostile"), HOSTILE)


@pytest.fixture(scope="module")
def page(hostile):
    output = hostile.folder / "report.html"
    result = write_report(hostile.model, output, database=hostile.database, images=hostile.photographs)
    text = output.read_text(encoding="utf-8")
    assert (result.images, result.total, result.bytes) == (5, 6, len(text.encode()))
    return text


def test_names_and_exif_are_text_and_no_script_but_ours_runs(page):
    parsed = Parsed(page)
    assert {tag for tag, _ in parsed.elements}.isdisjoint({"img", "iframe", "link", "object", "embed"})
    assert not any(name.startswith("on") for _, attributes in parsed.elements for name in attributes)
    data = json.loads(next(text for attributes, text in parsed.scripts if attributes.get("id") == "data"))
    assert sorted(each["name"] for each in data["photographs"]) == sorted(map(shown, HOSTILE))
    assert set(map(shown, HOSTILE)) <= set(parsed.names)
    told = dict(data["photographs"][0]["facts"])
    assert told["camera"] == MAKER
    policy = next(each["content"] for tag, each in parsed.elements if tag == "meta" and "content" in each)
    ours = [text for attributes, text in parsed.scripts if "id" not in attributes]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in ours]
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy
    assert "unsafe-eval" not in policy
    assert "script-src 'sha256-" in policy


def test_a_page_has_no_absolute_path_and_leads_nowhere(page, hostile):
    assert str(hostile.folder) not in page
    links = [
        each for _, attributes in Parsed(page).elements for name, each in attributes.items() if name in ("src", "href")
    ]
    assert all(link.startswith(("#", "data:")) for link in links if link)


@pytest.mark.slow
def test_thumbnails_stay_out_where_that_is_asked_for(page, hostile, tmp_path, capsys):
    output = tmp_path / "r.html"
    given = ["--database", str(hostile.database), "--images", str(hostile.photographs), "--output", str(output)]
    assert main(["report", "--model", str(hostile.model), *given, "--no-thumbnails", "--quiet"]) == 0
    assert "data:image/jpeg" in page
    assert "data:image/jpeg" not in output.read_text(encoding="utf-8")
    assert capsys.readouterr().out == ""


def test_thumbnails_are_small_and_upright(hostile, tmp_path):
    found = read_pictures(hostile.photographs, [*HOSTILE, "gone.jpg", "../db.db"], True)
    assert set(found) == set(HOSTILE)
    for picture in found.values():
        (tmp_path / "a.jpg").write_bytes(picture.jpeg)
        with Image.open(tmp_path / "a.jpg") as small:
            assert len(picture.jpeg) <= MOST_BYTES
            assert small.height > small.width
            assert not small.getexif()


def test_without_arguments_the_page_is_of_what_was_reconstructed_here(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_given(tmp_path / "sparse" / "0")
    assert main(["report"]) == 0
    assert "no model" not in capsys.readouterr().out
    assert 'id="view"' in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_where_it_was_stays_out_where_that_is_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_given(tmp_path / "given")
    write_positions(tmp_path / "positions.csv")
    assert main(["georeference", "given", "--positions", "positions.csv"]) == 0
    assert main(["report", "georeferenced"]) == 0
    said = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "latitude 46.8" in said
    assert "How far positions are off" in said
    assert "east, m" in said
    assert main(["report", "georeferenced", "--no-locations", "--output", "b.html"]) == 0
    silent = (tmp_path / "b.html").read_text(encoding="utf-8")
    assert "latitude" not in silent
    assert "46.8" not in silent
    assert "east, m" in silent
    assert "report: b.html" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(("count", "counted"), [(1, "1 photograph"), (3, "3 photographs")])
def test_a_model_without_points_has_a_page(count, counted, tmp_path):
    model = truth_model(arc_of_views(np.zeros(3), count, distance_m=5.0))
    (tmp_path / "model").mkdir()
    model.write(tmp_path / "model")
    result = write_report(tmp_path / "model", tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (result.images, result.total) == (count, count)
    assert f"The model has {count} of {counted}, and 0 points." in text


@pytest.mark.slow
def test_what_is_not_finite_in_a_model_is_left_out(hostile, tmp_path):
    model = pycolmap.Reconstruction(hostile.model)
    lost, *others = map(model.image, model.reg_image_ids())
    model.frame(lost.frame_id).rig_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.full(3, np.nan))
    next(iter(model.points3D.values())).xyz = np.full(3, np.nan)
    (tmp_path / "model").mkdir()
    model.write(tmp_path / "model")
    write_report(tmp_path / "model", tmp_path / "report.html")
    assert {image.name for image in others} == set(read_models(find_models(tmp_path / "model"))[0].images)
    assert model_png(tmp_path / "model").startswith(b"\x89PNG")


def test_a_model_without_images_is_refused(tmp_path):
    pycolmap.Reconstruction().write(tmp_path)
    with pytest.raises(RuntimeError, match="has no image with a pose"):
        read_models(find_models(tmp_path))


def test_a_later_model_without_images_is_passed_over(hostile, tmp_path):
    shutil.copytree(hostile.model, tmp_path / "0")
    shutil.copytree(hostile.model, tmp_path / "1")
    remove_from_model(tmp_path / "1", [image.name for image in posed_images(read_model(tmp_path / "1"))])
    assert [model.label for model in read_models(find_models(tmp_path))] == ["0"]


def test_absolute_names_of_other_programs_lose_their_folders():
    assert shown_name("/home/somebody/photos/a.jpg") == "a.jpg"
    assert shown_name("sub/a\u2066.jpg") == "sub/a\\u2066.jpg"


def test_models_are_found_with_those_beside_them(hostile, tmp_path):
    for name in ("1", "10", "2"):
        (tmp_path / "sparse" / name).mkdir(parents=True)
        for path in hostile.model.iterdir():
            (tmp_path / "sparse" / name / path.name).write_bytes(path.read_bytes())
    assert list(find_models(tmp_path / "sparse" / "2")) == ["2", "1", "10"]
    assert list(find_models(tmp_path / "sparse")) == list(find_models(tmp_path)) == ["1", "2", "10"]
    (tmp_path / "empty").mkdir()
    assert find_models(tmp_path / "empty") == find_models(None) == {}


def test_a_georeferenced_model_comes_first_while_it_is_of_the_first_model(hostile, tmp_path, caplog):
    for name in "01":
        shutil.copytree(hostile.model, tmp_path / "sparse" / name)
    placed, upright = tmp_path / "georeferenced", {"options": GeoreferenceOptions(up=True)}
    georeference_model(tmp_path / "sparse" / "0", placed, **upright)
    assert list(find_models(tmp_path)) == ["georeferenced", "0", "1"]
    model = read_model(tmp_path / "sparse" / "0")
    remove_from_model(tmp_path / "sparse" / "0", [posed_images(model)[0].name])
    assert "as it is now" not in caplog.text
    assert list(find_models(tmp_path)) == ["0", "1"]
    assert f"{placed} is not of {tmp_path / 'sparse' / '0'} as it is now: run" in caplog.text
    georeference_model(tmp_path / "sparse" / "0", placed, **upright)
    assert list(find_models(tmp_path)) == ["georeferenced", "0", "1"]
    (placed / "georeference.json").unlink()
    assert list(find_models(tmp_path)) == ["0", "1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone"], "no folder gone: expected a COLMAP model"),
        (["notes.txt"], "notes.txt is a file, expected the folder of a COLMAP model"),
        (["."], "holds no COLMAP model"),
        ([], "nothing to report: found neither a model nor a database with photographs"),
        (["--output", "a.pdf"], "pages are written as .html, found a.pdf"),
        (["--output", "gone/a.html"], "gone/a.html can't be written"),
    ],
)
def test_what_can_not_be_is_refused_in_a_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no model")
    assert main(["report", *arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
    assert list(tmp_path.iterdir()) == [tmp_path / "notes.txt"]
