"""The cameras and points of a model, at a slant and from above.

d2sfm show model sparse/0 --output model.png
"""

from functools import partial
from pathlib import Path

from d2sfm.colmap import read_model
from d2sfm.plots.reconstruction import draw_reconstruction
from d2sfm.show.picture import Picture
from d2sfm.text import counted


def show_model(model: Path | str = "sparse/0") -> Picture:
    """A model as a picture; ``d2sfm show model`` makes a page that turns.

    Raises FileNotFoundError if there is no model, RuntimeError if it can't be read.
    """
    found = read_model(Path(model))
    title = f"{model}: {counted(found.num_reg_images(), 'image', ',')}, {counted(found.num_points3D(), 'point', ',')}"
    return Picture(name="model", title=title, is_photograph=False, draw=partial(draw_reconstruction, found))
