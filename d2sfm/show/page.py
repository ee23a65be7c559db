"""A page for one picture, which needs no other file and no network."""

from collections.abc import Mapping, Sequence

from d2sfm.plots.palette import DARK, LIGHT, RECOVERED, ink, style_variables
from d2sfm.text import printable

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
:root { color-scheme: dark light; {{ dark_colours }} }
@media (prefers-color-scheme: light) { :root { {{ light_colours }} } }
body { margin: 0 auto; max-width: 1600px; padding: 1rem; background: var(--background); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.25rem; overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; }
dl { display: grid; grid-template-columns: max-content auto; gap: .1rem 1rem; }
dt { opacity: .75; }
dd { margin: 0; overflow-wrap: anywhere; }
div { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .8rem; border-bottom: 1px solid var(--grid); text-align: right; }
th { border-bottom: 2px solid {{ accent }}; }
th:first-child, td:first-child { text-align: left; }
</style>
<h1><bdi>{{ title }}</bdi></h1>
{% if facts %}
<dl>{% for label, value in facts.items() %}<dt>{{ label }}</dt><dd><bdi>{{ value }}</bdi></dd>{% endfor %}</dl>
{% endif %}
<picture>
<source media="(prefers-color-scheme: light)" srcset="{{ light }}">
<img src="{{ dark }}" alt="{{ title }}">
</picture>
{% if table %}
<div><table>
<thead><tr>{% for cell in table[0] %}<th scope="col">{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in table[1:] %}
<tr>{% for cell in row %}<td><bdi>{{ cell }}</bdi></td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table></div>
{% endif %}
</html>
"""


def page(title: str, facts: Mapping[str, str], dark: str, light: str, table: Sequence[Sequence[str]]) -> str:
    """The page as text. dark, light: addresses of the picture; all other texts are escaped."""
    from jinja2 import Environment  # pages alone need it

    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_PAGE)
    return template.render(
        title=printable(title),
        facts={label: printable(value) for label, value in facts.items()},
        dark=dark,
        light=light,
        table=[[printable(cell) for cell in row] for row in table],
        dark_colours=style_variables(DARK),
        light_colours=style_variables(LIGHT),
        accent=ink(RECOVERED),
    )
