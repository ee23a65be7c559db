"""Views of a synthetic model, and files of other tools with their keypoints and matches."""

import cv2
import h5py
import numpy as np
from support.feature_records import write_as_hloc
from support.synthetic_model import synthetic

from d2sfm.options import CameraMode, CameraOptions

VIEWS = 4


class Scene:
    """Exact views of a synthetic model, whose keypoints files of other tools are made of; photographs are black."""

    def __init__(self, folder):
        self.model = synthetic(num_frames=VIEWS, num_points=60)
        self.model.write(folder)
        self.folder, self.images = folder, folder / "images"
        [self.camera] = self.model.cameras.values()
        self.size = (self.camera.width, self.camera.height)
        views = sorted(self.model.images.values(), key=lambda image: image.name)
        for view in views:
            (self.images / view.name).parent.mkdir(exist_ok=True, parents=True)
            cv2.imwrite(str(self.images / view.name), np.zeros(self.size[::-1], np.uint8))
        self.names = [view.name for view in views]
        self.xy = {view.name: np.array([point.xy for point in view.points2D]) for view in views}
        self.matches = {}
        for i, a in enumerate(views):
            for b in views[i + 1 :]:
                of_b = {point.point3D_id: index for index, point in enumerate(b.points2D) if point.has_point3D()}
                pairs = [
                    (index, of_b[point.point3D_id])
                    for index, point in enumerate(a.points2D)
                    if point.has_point3D() and point.point3D_id in of_b
                ]
                self.matches[a.name, b.name] = np.array(pairs)

    @property
    def given(self):
        """The true camera, as options."""
        params = ",".join(map(str, self.camera.params))
        return CameraOptions(camera_mode=CameraMode.SINGLE, camera_model=self.camera.model_name, camera_params=params)

    def superpoint(self, path):
        """hloc's SuperPoint with a matcher: features and matches in one folder."""
        path.mkdir()
        for name, xy in self.xy.items():
            descriptors = np.random.default_rng(0).normal(size=(256, len(xy))).astype(np.float32)
            sizes = (self.size, self.size)
            write_as_hloc(path / "f.h5", name, xy - 0.5, sizes, descriptors=descriptors)
        with h5py.File(path / "m.h5", "w") as file:
            for (a, b), matches in self.matches.items():
                partners = np.full(len(self.xy[a]), -1, np.int16)
                partners[matches[:, 0]] = matches[:, 1]
                file[f"{a.replace('/', '-')}/{b.replace('/', '-')}/matches0"] = partners
        return path

    def dense(self, path):
        """hloc's dense matchers."""
        path.mkdir()
        with h5py.File(path / "f.h5", "w") as file:
            for name, xy in self.xy.items():
                file[f"{name}/keypoints"], file[f"{name}/score"] = (xy - 0.5).astype(np.float32), np.ones(len(xy), int)
        with h5py.File(path / "m.h5", "w") as file:
            for (a, b), matches in self.matches.items():
                group = file.create_group(f"{b.replace('/', '-')}/{a.replace('/', '-')}")
                group["keypoints0"] = self.xy[b][matches[:, 1]] - 0.5
                partners = np.full(matches[:, 1].max() + 1, -1, np.int32)
                partners[matches[:, 1]] = matches[:, 0]
                group["matches0"] = partners
        return path

    def deep_image_matching(self, path):
        """All of features in float16, the height first, and lists of matches."""
        path.mkdir()
        with h5py.File(path / "f.h5", "w") as file:
            for name, xy in self.xy.items():
                datasets = {"keypoints": xy - 0.5, "descriptors": np.ones((128, len(xy))), "scores": np.ones(len(xy))}
                for key, values in (datasets | {"image_size": np.array(self.size[::-1])}).items():
                    file.create_dataset(f"{name}/{key}", data=values, dtype=np.float16)
        with h5py.File(path / "m.h5", "w") as file:
            for (a, b), matches in self.matches.items():
                file.require_group(a).create_dataset(b, data=matches)
        return path
