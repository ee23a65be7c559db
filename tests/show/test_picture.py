"""Pictures as files and pages."""

import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from d2sfm.plots.palette import DARK, LIGHT
from d2sfm.show.picture import Picture
from d2sfm.show.shown import write_picture

EVIL = "<script>alert('1')</script>\"><img src=x onerror=y>\u202e\x1b[31m\udce9.jpg"


def picture(**changes):
    def draw(theme):
        return np.full((4, 6, 3), theme.background, np.uint8)

    settings = {"name": "a", "title": "title", "draw": draw, "is_photograph": False} | changes
    return Picture(**settings)


class Texts(HTMLParser):
    """The tags of a page, its texts, and whether each has its own direction."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self.attributes = [], [], {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.setdefault(tag, []).append(dict(attrs))

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.tags[-1], data.strip()))


def test_a_png_is_dark_or_light(tmp_path):
    for light, theme in ((False, DARK), (True, LIGHT)):
        picture().save(tmp_path / "a.png", light=light)
        assert cv2.imread(str(tmp_path / "a.png"))[0, 0, ::-1].tolist() == list(theme.background)


def test_a_notebook_gets_the_png():
    data = cv2.imdecode(np.frombuffer(picture()._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
    assert data[0, 0, ::-1].tolist() == list(DARK.background)


def test_a_page_needs_nothing_else_and_runs_nothing(tmp_path):
    table = [("image", "n"), (EVIL, "1")]
    picture(title=EVIL, facts={"fact": EVIL}, table=table).save(tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    page = Texts(text)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert page.tags.count("img") == 1
    assert not any(name.startswith("on") for found in page.attributes.values() for each in found for name in each)
    shown = EVIL.replace("\x1b", "\\x1b").replace("\udce9", "\\udce9")
    assert [text for tag, text in page.texts if tag == "bdi"] == [shown, shown, shown, "1"]
    policy = page.attributes["meta"][1]["content"]
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(http|//|/)", text)


def test_a_page_has_the_picture_for_both_themes(tmp_path):
    for is_photograph in (False, True):
        picture(is_photograph=is_photograph).save(tmp_path / "a.html")
        page = Texts((tmp_path / "a.html").read_text())
        kind = "data:image/jpeg" if is_photograph else "data:image/png"
        dark, light = page.attributes["img"][0]["src"], page.attributes["source"][0]["srcset"]
        assert dark.startswith(kind)
        assert light.startswith(kind)
        assert dark != light


@pytest.mark.parametrize("name", [2 * "\u6f22\u5b57" * 45, 300 * "a"])
def test_a_name_that_is_made_of_long_names_is_short_enough_for_a_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    shown = write_picture(picture(name=name), None)
    assert len(shown.output.name.encode()) <= 124
    assert name.startswith(shown.output.stem)
    assert shown.output.exists()


def test_where_it_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = write_picture(picture(name="image-sub/\x1b" + 300 * "a", facts={"largest": "3 px"}), None)
    assert shown.output.name == f"image-sub__x1b{106 * 'a'}.png"
    assert shown.output.is_file()
    assert str(shown) == f"show: title; largest: 3 px; in {shown.output}"
    with pytest.raises(ValueError, match=r"--light is for .png"):
        write_picture(picture(), tmp_path / "a.html", light=True)
    with pytest.raises(ValueError, match=r"written as .png or .html, found a.jpg"):
        write_picture(picture(), tmp_path / "a.jpg")
    with pytest.raises(FileNotFoundError, match="no folder"):
        write_picture(picture(), tmp_path / "none" / "a.html")
