"""The command d2sfm show and its kinds of pictures."""

import json
import shutil
from pathlib import Path

import cv2
import pytest

from d2sfm.cli import main
from d2sfm.show.shown import Shown

DRAWN = Shown(output=Path("a.png"), title="drawn", facts={})


class View:
    """Of no model."""

    models = ()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (["keypoints", "sub/a.png"], "keypoints-sub_a.png.png"),
        (["matches", "a.png", "b c.png", "--most", "0"], "matches-a.png-b c.png.png"),
        (["image", "a.png", "--light"], "image-a.png.png"),
        (["pairs"], "pairs.png"),
        (["track", "2"], "track-2.png"),
        (["model", "sparse/0", "--output", "here.png"], "here.png"),
    ],
)
def test_each_kind_writes_a_picture_here_and_tells_its_name(shown_scene, capsys, arguments, file):
    assert main(["show", *arguments]) == 0
    assert capsys.readouterr().out.endswith(f"; in {file}\n")
    assert cv2.imread(file).shape[1] > 200


def test_results_for_programs(shown_scene, capsys):
    assert main(["show", "pairs", "--json", "--output", "sub.png"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["command"] == "show"
    assert found["results"]["show"] == {
        "output": "sub.png",
        "title": "1 of 2 matched pairs verified, 3 images",
        "facts": {"in no verified pair": "sub/a.png"},
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["keypoints", "b-c.png"], "db.db has no image b-c.png: did you mean b c.png?"),
        (["keypoints", "a.png", "--output", "a.jpg"], "pictures are written as .png or .html, found a.jpg"),
        (["keypoints", "a.png", "--max-edge", "99"], "a.png was extracted into db.db"),
        (["image", "a.png", "--model", "nowhere"], "no COLMAP model in nowhere"),
        (["track", "77"], "sparse/0 has no point 77"),
        (["pairs", "--database", "none.db"], "no database none.db"),
        (["model", "nowhere"], "no folder nowhere"),
        (["model", "--serve", "--output", "a.html"], "--serve writes no file"),
        (["model", "--no-browser"], "--no-browser goes with --serve"),
        (["model", "--light"], "--light is for .png"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(shown_scene, capsys, arguments, message):
    assert main(["show", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: d2sfm show: {message}")
    assert captured.err.count("\n") == 1
    assert not list(shown_scene.glob("*.png"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show"], "expected a command: keypoints, matches, image, pairs, track and model"),
        (["show", "keypionts", "a"], "'keypionts' is not a command: did you mean keypoints?"),
        (["show", "pairs", "--model", "x"], "--model is an option of d2sfm show image and track, not of this command"),
        (["show", "track", "a"], "expected a whole number, found 'a'"),
    ],
)
def test_wrong_arguments(capsys, arguments, message):
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err


@pytest.fixture
def asked(monkeypatch):
    """What the functions behind the command are asked for; nothing is drawn."""
    asked = {}
    for name in ("keypoints", "matches", "image", "pairs", "track"):
        monkeypatch.setattr(f"d2sfm.show.{name}.show_{name}", lambda *given, **named: asked.update(named, given=given))
    monkeypatch.setattr("d2sfm.show.shown.write_picture", lambda *_, **named: asked.update(named) or DRAWN)
    return asked


@pytest.mark.parametrize("kind", [("keypoints", "a.png"), ("matches", "a.png", "b.png", "--most", "5")])
def test_pictures_are_extracted_by_all_options_of_extract(asked, kind):
    network = ("--weights", "d2_tf", "--mirror", "http://127.0.0.1/", "--preprocessing", "torch", "--no-relu")
    sizes = ("--scales", "0.5", "1", "--max-edge", "800", "--max-sum-edges", "0", "--max-keypoints", "9")
    others = ("--convention", "colmap", "--orientation", "auto", "--stretch", "none", "--border", "4", "--verbose")
    arithmetic = ("--precision", "float32", "--tile-size", "16", "--memory-limit", "1", "--device", "cpu")
    places = ("--database", "a.db", "--images", "photographs", "--output", "a.html", "--light")
    assert main(["show", *kind, *network, *sizes, *others, *arithmetic, *places]) == 0
    options = asked["options"]
    assert (options.scales, options.max_keypoints, options.border, options.memory_limit) == ((0.5, 1.0), 9, 4, 1)
    assert (str(asked["images"]), asked["light"]) == ("photographs", True)
    assert asked.get("most", 5) == 5


@pytest.mark.parametrize("kind", [("image", "a.png", "--model", "m"), ("track", "--model", "m"), ("pairs",)])
def test_what_a_database_and_a_model_hold_is_drawn_by_all_options(asked, capsys, kind):
    places = () if kind == ("pairs",) else ("--images", "photographs")
    given = ("--database", "a.db", "--output", "a.png", "--light", "--json")
    assert main(["show", *kind, *places, *given, "--quiet"]) == 0
    assert asked["light"]
    assert json.loads(capsys.readouterr().out)["results"]["show"]["title"] == "drawn"
    assert main(["show", *kind, *places, "--verbose"]) == 0


@pytest.mark.parametrize("noise", ["--quiet", "--verbose"])
def test_a_model_is_drawn_by_all_options(monkeypatch, capsys, noise):
    asked = {}
    monkeypatch.setattr("d2sfm.report.view.read_view", lambda model, **named: asked.update(named) or View)
    monkeypatch.setattr("d2sfm.report.view.write_view", lambda *given: None)
    given = ("--images", "photographs", "--database", "a.db", "--no-thumbnails", "--json")
    assert main(["show", "model", "m", *given, noise]) == 0
    assert (str(asked["images"]), str(asked["database"]), asked["thumbnails"]) == ("photographs", "a.db", False)
    assert json.loads(capsys.readouterr().out)["results"]["show"]["output"] == "model.html"


@pytest.mark.slow
def test_a_model_is_a_page_that_turns(shown_scene, capsys):
    assert main(["show", "model"]) == 0
    assert capsys.readouterr().out == "show: model 0: 3 images; in model.html\n"
    assert "three" in (shown_scene / "model.html").read_text()


@pytest.mark.slow
def test_serving_ends_with_ctrl_c(shown_scene, capsys, monkeypatch):
    """Without a display no browser is asked for; the address and the way to it from elsewhere are told."""

    def interrupted(server):
        raise KeyboardInterrupt

    monkeypatch.setattr("socketserver.BaseServer.serve_forever", interrupted)
    monkeypatch.setattr("webbrowser.open", lambda address: pytest.fail("opened a browser"))
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert main(["show", "model", "--serve"]) == 0
    at, elsewhere = capsys.readouterr().err.splitlines()
    port = at.partition("127.0.0.1:")[2].partition("/")[0]
    assert f"ssh -L {port}:127.0.0.1:{port} " in elsewhere
    assert not (shown_scene / "model.html").exists()


@pytest.mark.slow
def test_photographs_that_no_database_knows_are_extracted_and_matched(shown_scene, capsys, narrow_network):
    (shown_scene / "db.db").unlink()
    settings = ["--max-edge", "150", "--multiscale", "--quiet"]
    shutil.copy("photographs/a.png", "photographs/copy.png")
    files = ["photographs/a.png", "photographs/copy.png"]
    assert main(["show", "matches", *files, *settings, "--output", "m.png"]) == 0
    assert main(["show", "keypoints", files[0], *settings, "--output", "k.png"]) == 0
    assert cv2.imread("m.png").shape[1] == 2 * 1000 + 8
    (shown_scene / "photographs/a.png").write_bytes(b"no picture")
    assert main(["show", "keypoints", files[0], *settings]) == 2
    assert "error: d2sfm show: photographs/a.png can't be used: " in capsys.readouterr().err
    assert not (shown_scene / "db.db").exists()
