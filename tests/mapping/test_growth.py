"""What placing images in a model costs; what comes of it is tested in test_extend.py."""

import pycolmap
import pytest
from support.synthetic_model import renumbered, synthetic_database

from d2sfm.mapping.extend import extend_model
from d2sfm.mapping.growth import Growth
from d2sfm.options import ReconstructionOptions

Model = pycolmap.Reconstruction


class CountedPoints:
    """Points of a model that count how often all are gone through."""

    passes = 0

    def __init__(self, points):
        self._points = points

    def __iter__(self):
        CountedPoints.passes += 1
        return iter(self._points)

    def __getitem__(self, point_id):
        return self._points[point_id]

    def __getattr__(self, name):
        return getattr(self._points, name)


class CountedModel(Model):
    @property
    def points3D(self):
        return CountedPoints(super().points3D)


@pytest.fixture
def grown(tmp_path):
    """Extends a model, of five of eight images, that lacks some of their points."""
    truth = synthetic_database(tmp_path / "db.db", 8)
    late = sorted(image.name for image in truth.images.values())[5:]
    known = renumbered(truth, images=0, cameras=0, without=late)
    for point_id in sorted(known.points3D)[::4]:
        known.delete_point3D(point_id)
    (tmp_path / "model").mkdir()
    known.write_binary(tmp_path / "model")
    options = ReconstructionOptions(num_threads=1)
    return lambda: extend_model(tmp_path / "db.db", tmp_path / "model", tmp_path / "new", options=options)


def test_all_points_are_not_gone_through_for_each_image(grown, monkeypatch):
    place, passes = Growth.place, []

    def counted(self, on_image):
        CountedPoints.passes = 0
        place(self, on_image)
        passes.append(CountedPoints.passes)

    monkeypatch.setattr(pycolmap, "Reconstruction", CountedModel)
    monkeypatch.setattr(Growth, "place", counted)
    assert len(grown().added) == 3
    assert passes == [0]


def test_the_points_that_are_filtered_are_those_that_came(grown, monkeypatch):
    new_points, numbers = Growth._new_points, []

    def checked(self):
        found = new_points(self)
        assert found == set(self.model.points3D) - self._old_points
        numbers.append(len(found))
        return found

    monkeypatch.setattr(Growth, "_new_points", checked)
    result = grown()
    assert numbers[-1] == result.new_points > 0
    assert len(numbers) > 3
