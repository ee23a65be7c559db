"""A synthetic scene that an extractor sees in parts, and another one, whose keypoints come behind its own, as a whole.

Points of even ids have keypoints of the first kind in all images that see them, the others of the second.
"""

import shutil
from itertools import combinations

import numpy as np
import pycolmap
from support.synthetic_model import synthetic_database

OLD, NEW = (1, 2, 3, 4, 5), (6, 7, 8, 9, 10, 11)


class BridgedScene:
    """truth: the model of all keypoints, images with ids from 1 on; names: of the images, in order of ids."""

    def __init__(self, folder, num_images, num_points=240):
        self.whole = folder / "whole.db"
        self.truth = synthetic_database(self.whole, num_images, num_points=num_points)
        self.names = [self.truth.images[image_id].name for image_id in sorted(self.truth.images)]
        self.rows, self.counts = {}, {}  # of the truth, those of the first kind first; how many are of the first kind
        for image_id, image in self.truth.images.items():
            points = [point.point3D_id if point.has_point3D() else 1 for point in image.points2D]
            self.rows[image_id] = sorted(range(len(points)), key=lambda row, points=points: points[row] % 2)
            self.counts[image_id] = sum(point % 2 == 0 for point in points)

    def keypoints(self, image_id):
        xy = np.array([point.xy for point in self.truth.images[image_id].points2D], np.float32)
        return xy[self.rows[image_id]]

    def write(self, path, pairs_of_first, pairs_of_second=()):
        """A database in which these pairs of images are verified by keypoints of each kind. Without pairs of the second
        kind there are no such keypoints. Returns the path."""
        shutil.copy(self.whole, path)
        first, second = (set(map(tuple, map(sorted, pairs))) for pairs in (pairs_of_first, pairs_of_second))
        with pycolmap.Database.open(path) as colmap:
            for clear in (colmap.clear_keypoints, colmap.clear_matches, colmap.clear_two_view_geometries):
                clear()
            for image_id in self.truth.images:
                xy = self.keypoints(image_id)
                colmap.write_keypoints(image_id, xy if second else xy[: self.counts[image_id]])
            for a, b in sorted(first | second):
                matches = self._matches(a, b)
                is_first = matches[:, 0] < self.counts[a]
                matches = matches[is_first & ((a, b) in first) | ~is_first & ((a, b) in second)]
                geometry = pycolmap.TwoViewGeometry()
                geometry.config, geometry.inlier_matches = pycolmap.TwoViewGeometryConfiguration.CALIBRATED, matches
                colmap.write_matches(a, b, matches)
                colmap.write_two_view_geometry(a, b, geometry)
        return path

    def _matches(self, a, b):
        seen = []
        for image_id in (a, b):
            points = self.truth.images[image_id].points2D
            points = [points[row] for row in self.rows[image_id]]
            seen.append({point.point3D_id: row for row, point in enumerate(points) if point.has_point3D()})
        common = [(seen[0][point], seen[1][point]) for point in seen[0].keys() & seen[1].keys()]
        return np.array(sorted(common), np.uint32)

    def model(self, folder, image_ids, world=None):
        """Write a model of these images and the keypoints of the first kind, as one made before the others came, in a
        world of its own. Returns the folder."""
        model = pycolmap.Reconstruction()
        model.add_camera_with_trivial_rig(self.truth.cameras[1])
        for image_id in image_ids:
            xy = self.keypoints(image_id)[: self.counts[image_id]].astype(float)
            name, pose = self.truth.images[image_id].name, self.truth.images[image_id].cam_from_world()
            image = pycolmap.Image(name=name, keypoints=xy, camera_id=1, image_id=image_id)
            model.add_image_with_trivial_frame(image, pose)
        places = {image_id: {row: place for place, row in enumerate(self.rows[image_id])} for image_id in image_ids}
        for point_id, point in self.truth.points3D.items():
            track = pycolmap.Track()
            for element in point.track.elements if point_id % 2 == 0 else []:
                if element.image_id in places:
                    track.add_element(element.image_id, places[element.image_id][element.point2D_idx])
            if track.length() > 1:
                model.add_point3D_with_id(point_id, pycolmap.Point3D(xyz=point.xyz, color=[1, 2, 3], track=track))
        if world is not None:
            model.transform(world)
        folder.mkdir(parents=True)
        model.write_binary(folder)
        return folder


def all_pairs(image_ids):
    return list(combinations(image_ids, 2))


def bridged(scene, path, pairs_of_new=None, across=None):
    """Old and new images have pairs of the first kind among themselves, and of the second kind with each other."""
    pairs_of_new = all_pairs(NEW) if pairs_of_new is None else pairs_of_new
    across = [(a, b) for a in OLD for b in NEW] if across is None else across
    return scene.write(path, all_pairs(OLD) + pairs_of_new, all_pairs(OLD) + across)


def names(scene, image_ids):
    return tuple(scene.names[image_id - 1] for image_id in image_ids)


def content(model):
    """All that a model says of its images and points, as numbers."""
    found = {}
    for image in (model.images[image_id] for image_id in model.reg_image_ids()):
        pose = image.cam_from_world()
        found[image.name] = (*pose.rotation.quat.tolist(), *pose.translation.tolist())
    for point_id, point in model.points3D.items():
        found[point_id] = (*point.xyz.tolist(), *point.color.tolist())
    return found | {("camera", camera_id): camera.params.tolist() for camera_id, camera in model.cameras.items()}


def tracks(model, image_names):
    """Which keypoints of these images see a point, by id."""
    return {
        point_id: sorted(
            (model.images[element.image_id].name, element.point2D_idx)
            for element in point.track.elements
            if model.images[element.image_id].name in image_names
        )
        for point_id, point in model.points3D.items()
    }


def require_kept(old, new):
    """All that a model had is in another one, to the last bit, and no old image sees an old point elsewhere."""
    assert content(old).items() <= content(new).items()
    of_old = {image.name for image in old.images.values()}
    now = tracks(new, of_old)
    assert tracks(old, of_old) == {point_id: now[point_id] for point_id in old.points3D}
    for image in old.images.values():
        xy = [point.xy.tolist() for point in new.find_image_with_name(image.name).points2D]
        assert [point.xy.tolist() for point in image.points2D] == xy[: image.num_points2D()]
        assert len(xy) > image.num_points2D()
