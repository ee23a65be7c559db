"""A reconstruction as a page that turns in the browser: ``python examples/view_model.py sparse/0 model.html``.

Needs plotly: ``pip install 'd2sfm[viz]'``.
"""

import argparse
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pycolmap


def main() -> None:
    """Read the model, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="folder with cameras, images and points3D")
    parser.add_argument("page", type=Path, help="HTML file to write")
    arguments = parser.parse_args()
    model = pycolmap.Reconstruction(arguments.model)
    points = [point for _, point in sorted(model.points3D.items())]
    images = [image for _, image in sorted(model.images.items()) if image.has_pose]
    figure = go.Figure([_cloud(points), _cameras(images)])
    figure.update_layout(scene={"aspectmode": "data"}, title=str(arguments.model))
    figure.write_html(arguments.page)


def _cloud(points: list[pycolmap.Point3D]) -> go.Scatter3d:
    x, y, z = np.array([point.xyz for point in points]).reshape(-1, 3).T
    colours = ["rgb({},{},{})".format(*point.color) for point in points]
    return go.Scatter3d(x=x, y=y, z=z, mode="markers", marker={"size": 2, "color": colours}, name="points")


def _cameras(images: list[pycolmap.Image]) -> go.Scatter3d:
    x, y, z = np.array([image.projection_center() for image in images]).reshape(-1, 3).T
    names = [image.name for image in images]
    return go.Scatter3d(x=x, y=y, z=z, mode="markers", marker={"size": 5}, text=names, name="cameras")


if __name__ == "__main__":
    main()
