"""Pages from templates. Texts of others are escaped: by Jinja2 in HTML, by its ``tojson`` in data."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from d2sfm.plots.palette import DARK_PAGE, LIGHT_PAGE, style_variables
from d2sfm.report.names import shown, shown_name
from d2sfm.report.photographs import Photograph
from d2sfm.report.pictures import Picture

VIEWER = ("three.bundle.js", "points.js", "viewer.js")
VIEW = (*VIEWER, "page.js")
REPORT = (*VIEWER, "matrix.js", "page.js")

_COLOURS = f""":root {{ color-scheme: light dark; {style_variables(LIGHT_PAGE)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {style_variables(DARK_PAGE)} }} }}
"""


class Script(NamedTuple):
    """A script of the page, the only kind that its Content-Security-Policy lets run."""

    text: Markup
    hash: Markup


def render(template: str, scripts: Sequence[str], **values: object) -> str:
    """A whole page. scripts: names of files, in order."""
    return (
        _environment()
        .get_template(template)
        .render(style=Markup(_COLOURS + static("style.css")), scripts=[_script(name) for name in scripts], **values)
    )


@cache
def static(name: str) -> str:
    """The text of a file that pages consist of."""
    return files("d2sfm.report").joinpath("static", name).read_text(encoding="utf-8")


def photograph_data(photographs: Sequence[Photograph], pictures: Mapping[str, Picture]) -> list[dict]:
    """Data on the photographs for scripts, in the order of their rows."""
    return [_of_photograph(each, pictures.get(each.name, Picture())) for each in photographs]


def _of_photograph(photograph: Photograph, picture: Picture) -> dict:
    worst, error = photograph.worst, photograph.error_px
    told = [
        ("camera", picture.camera and shown(picture.camera)),
        ("keypoints", photograph.keypoints),
        ("verified pairs", photograph.verified and f"{photograph.verified} of {photograph.matched}"),
        ("model", photograph.model),
        ("points", photograph.points),
        ("error", None if error is None else f"{error:.2f} px"),
        ("worst", worst and f"{worst.error_px:.2f} px at x {worst.xy[0]:.0f}, y {worst.xy[1]:.0f}"),
        ("no place", shown(photograph.reason)),
    ]
    thumbnail = picture.jpeg and f"data:image/jpeg;base64,{base64.b64encode(picture.jpeg).decode()}"
    facts = [(term, str(value)) for term, value in told if value not in (None, "")]
    return {
        "name": shown_name(photograph.name),
        "thumbnail": thumbnail,
        "orientation": picture.orientation,
        "facts": facts,
    }


def _script(name: str) -> Script:
    text = static(name)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Script(Markup(text), Markup(f"'sha256-{digest}'"))


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("d2sfm.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"shown": shown, "duration": duration}
    return made


def duration(seconds: float) -> str:
    """As people say it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
