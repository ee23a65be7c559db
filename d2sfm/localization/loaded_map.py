"""A model and the features of its images, in memory for many queries."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakMethod, finalize

import numpy as np
import pycolmap

from d2sfm.colmap import read_model
from d2sfm.database import BridgeStore, FeatureStore, MatchStore, own_features, require_own_features
from d2sfm.features.fingerprints import clash, difference
from d2sfm.features.record import Features
from d2sfm.lru import LruCache
from d2sfm.options import Convention
from d2sfm.pairs.vlad import make_vocabulary, vectors, vlad
from d2sfm.refinement.collection import ImageKeypoints
from d2sfm.text import first_of

DESCRIPTORS_BYTES = 2 << 30  # of images that were asked for last: 2000 with 1000 keypoints each that see points
SAME_PX = 0.05  # of the photograph, that keypoints of a model and of its database differ by at most


@dataclass(frozen=True, kw_only=True)
class MapImage:
    """Of an image of the map, the keypoints that see points."""

    keypoints: ImageKeypoints
    xy: np.ndarray  # [M, 2] in pixels of the photograph as it is stored
    points: np.ndarray  # [M] rows of the map's points
    descriptors: np.ndarray  # [M, 512]

    @property
    def nbytes(self) -> int:
        arrays = (self.keypoints.xy, self.keypoints.scale, self.xy, self.points, self.descriptors)
        return sum(array.nbytes for array in arrays)


class LoadedMap:
    """A map for localization: points, and by name of an image the keypoints that see them.

    names: of the images that have both points and features, sorted; unusable: of the others of either. Descriptors are
    read on request and the last used are kept, so memory is bounded.

    Raises FileNotFoundError if the database or the model is missing, RuntimeError if they can't be read, the model has
    no points, or they are not of the same photographs.
    """

    def __init__(self, database: Path | str, reconstruction: pycolmap.Reconstruction | Path | str):
        self.database = Path(database)
        is_model = isinstance(reconstruction, pycolmap.Reconstruction)
        self.model = reconstruction if is_model else read_model(Path(reconstruction))
        called = "the model" if is_model else str(reconstruction)
        if not self.model.num_points3D():
            raise RuntimeError(f"{called} has no points to place queries by: run d2sfm triangulate")
        stack = ExitStack()
        finalize(self, stack.close)
        self._features = stack.enter_context(own_features(self.database))
        way_out = (
            f"d2sfm bridge {self.database} --images FOLDER --all adds some, then d2sfm reconstruct --extend maps them"
        )
        require_own_features(self._features, "localize", way_out=way_out)
        by_name = {image.name: image for image in self.model.images.values() if image.has_pose and image.num_points3D}
        with BridgeStore(self.database) as store:
            self._first = {name: image.first for name, image in store.images().items()}
        with FeatureStore(self._features) as store:
            extracted, self.photographs = store.extracted(), store.notes.images_folder()
        self.names = sorted(by_name.keys() & extracted.keys())
        self.unusable = {*extracted, *(image.name for image in self.model.images.values())}.difference(self.names)
        if not self.names:
            raise RuntimeError(
                f"{self.database} has no features of any of the {first_of(sorted(by_name), 'image')} of {called}"
            )
        self._images = {name: by_name[name] for name in self.names}
        self.fingerprint = self._one_fingerprint({name: extracted[name] for name in self.names})
        self._ids = np.array(sorted(self.model.point3D_ids()), np.int64)
        self.xyz = np.array([self.model.points3D[each].xyz for each in self._ids.tolist()])
        load = WeakMethod(self._load)  # a ring of references would hold gigabytes until the garbage collector comes by
        self._held = LruCache(lambda name: load()(name), DESCRIPTORS_BYTES)
        self._describe()

    def __getitem__(self, name: str) -> MapImage:
        return self._held[name]

    def point_ids(self, rows: np.ndarray) -> np.ndarray:
        """Ids in the model of rows of ``xyz``, int64."""
        return self._ids[rows]

    def alike(self, descriptors: np.ndarray, number: int) -> list[str]:
        """Names of the images most similar to one with these descriptors, [N, 512], the most similar first."""
        if not len(descriptors) or not len(self._vocabulary):
            return []
        of_query = vlad(descriptors.astype(np.float32), self._vocabulary)
        scores = np.array([np.dot(row.astype(np.float32), of_query) for row in self._described])
        order = np.argsort(-scores, kind="stable")
        return [self.names[row] for row in order[:number] if self._described[row].any()]

    def _one_fingerprint(self, found: dict[str, str]) -> str:
        """The features' fingerprint. RuntimeError if they are not comparable, or in the published code's frame."""
        names = list(found)
        for name in names[1:]:
            if clash(found[names[0]], found[name]):
                what = difference(found[name], found[names[0]])
                raise RuntimeError(f"{self.database} mixes features: those of {name} with {what}: extract them again")
        return found[names[0]]

    def _describe(self) -> None:
        with MatchStore(self.database) as store:
            counts = store.keypoint_counts()
        with MatchStore(self._features) as store:
            ids = store.image_ids()
            chosen = [ids[name] for name in self.names]
            for name, image_id in zip(self.names, chosen, strict=True):
                if counts.get(image_id) != self._images[name].num_points2D():
                    raise self._others(name)
            self._vocabulary = make_vocabulary(store, chosen)
            self._described = vectors(store, chosen, self._vocabulary)

    def _load(self, name: str) -> MapImage:
        image = self._images[name]
        with FeatureStore(self._features) as store:
            features = store.read(name)
        if features.convention is not Convention.COLMAP:
            raise RuntimeError(
                f"{self.database} holds features in the frame {features.convention}: extract again with --overwrite, "
                f"without --convention {features.convention}"
            )
        first = self._first.get(name, 0)  # behind the keypoints of another extractor
        own = image.points2D[first : first + len(features)]
        seen = np.array([point.point3D_id if point.has_point3D() else -1 for point in own], np.int64)
        xy = np.array([point.xy for point in own]).reshape(-1, 2)
        if np.abs(xy - features.keypoints[:, :2]).max(initial=0) > SAME_PX:
            raise self._others(name)
        rows = np.flatnonzero(seen >= 0)
        return MapImage(
            keypoints=as_keypoints(image.image_id, name, features, rows),
            xy=xy[rows],
            points=np.searchsorted(self._ids, seen[rows]),
            descriptors=features.descriptors[rows],
        )

    def _others(self, name: str) -> RuntimeError:
        return RuntimeError(
            f"the keypoints of {name} in {self.database} are not those of the model, which was made from others or "
            "before refinement: make it again with d2sfm reconstruct or d2sfm triangulate"
        )


def as_keypoints(image_id: int, name: str, features: Features, rows: np.ndarray) -> ImageKeypoints:
    """Some of the keypoints of a picture as refinement takes them."""
    of_picture = (features.image_size, features.input_size, features.orientation)
    keypoints = features.keypoints[rows].astype(np.float64)
    return ImageKeypoints.of_stored(image_id, name, *of_picture, keypoints, features.grey_range)
