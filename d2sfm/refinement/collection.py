"""Data for refinement from a database: keypoints of all images, numbered consecutively, and their verified matches."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from d2sfm.coordinates import (
    Size,
    image_from_input,
    input_from_image,
    resize_factor,
    stored_from_upright,
    upright_from_stored,
    upright_size,
)
from d2sfm.database import MatchStore
from d2sfm.database.continued import CERTAIN
from d2sfm.database.feature_store import FeatureStore
from d2sfm.database.pair_ids import image_pairs
from d2sfm.database.rows import TORN, UnusableRow, warn_once
from d2sfm.lru import DESCRIPTOR_CACHE_BYTES, LruCache
from d2sfm.options import Convention, GreyRange
from d2sfm.pairs.arrays import in_tiles
from d2sfm.refinement.tracks import Edges
from d2sfm.refinement.warps import local_warps
from d2sfm.text import counted


@dataclass(frozen=True, kw_only=True)
class ImageKeypoints:
    """Keypoints of an image, in pixels of the network's input, and how these relate to those of the photograph."""

    image_id: int
    name: str
    image_size: Size  # as it is stored
    input_size: Size  # upright, as the network sees it
    xy: np.ndarray  # [N, 2] float64
    scale: np.ndarray  # [N] pixels of the input that one of the keypoint's level is
    orientation: int = 1  # EXIF's, that makes the stored photograph upright
    grey_range: GreyRange | None = None  # of 16 bits, from which the photograph is stretched

    @classmethod
    def of_stored(
        cls,
        image_id: int,
        name: str,
        image_size: Size,
        input_size: Size,
        orientation: int,
        keypoints: np.ndarray,
        grey_range: GreyRange | None = None,
    ) -> "ImageKeypoints":
        """From keypoints as extraction gives them, [N, 3 or more] x, y, scale in pixels of the stored photograph.

        input_size: (width, height) as the photograph is stored, as in ``Features``.
        """
        xy = upright_from_stored(keypoints[:, :2], image_size, orientation)
        size = upright_size(input_size, orientation)
        return cls(
            image_id=image_id,
            name=name,
            image_size=image_size,
            input_size=size,
            xy=input_from_image(xy, size, upright_size(image_size, orientation)),
            scale=keypoints[:, 2].astype(np.float64) / resize_factor(input_size, image_size),
            orientation=orientation,
            grey_range=grey_range,
        )

    @property
    def upright_size(self) -> Size:
        """(width, height) in pixels of the upright photograph."""
        return upright_size(self.image_size, self.orientation)

    @property
    def per_input_px(self) -> tuple[float, float]:
        """Pixels of the upright photograph for one of the network's input, along x and y."""
        return tuple(whole / seen for whole, seen in zip(self.upright_size, self.input_size, strict=True))

    def in_image(self, xy: np.ndarray) -> np.ndarray:
        """Pixels of the stored photograph (COLMAP's frame) from pixels of the input, [N, 2] float64."""
        return stored_from_upright(self.in_upright(xy), self.image_size, self.orientation)

    def in_upright(self, xy: np.ndarray) -> np.ndarray:
        """Pixels of the upright photograph (COLMAP's frame) from pixels of the input, [N, 2] float64."""
        return image_from_input(xy, self.input_size, self.upright_size, Convention.COLMAP)

    def holds(self, xy: np.ndarray) -> np.ndarray:
        """Which positions in pixels of the input, [N, 2], lie in the photograph, its edge included, [N] bool."""
        in_upright = self.in_upright(xy)
        return ((in_upright >= 0) & (in_upright <= self.upright_size)).all(axis=1)


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Images with their keypoints. Node n is keypoint ``n - first_node[i]`` of the image i = ``image_of_node[n]``."""

    images: list[ImageKeypoints]
    edges: Edges
    warps: np.ndarray  # [E, 2, 2] float, b_from_a around each edge

    @cached_property
    def first_node(self) -> np.ndarray:
        """[images + 1] int64: where each image's nodes begin."""
        return np.cumsum([0, *(len(image.xy) for image in self.images)])

    @cached_property
    def image_of_node(self) -> np.ndarray:
        """[N] int64."""
        return np.repeat(np.arange(len(self.images)), np.diff(self.first_node))

    @cached_property
    def xy(self) -> np.ndarray:
        """[N, 2] float64, pixels of each image's network input."""
        return np.concatenate([np.zeros((0, 2)), *(image.xy for image in self.images)])

    @cached_property
    def scale(self) -> np.ndarray:
        """[N] float64, see ``ImageKeypoints``."""
        return np.concatenate([np.zeros(0), *(image.scale for image in self.images)])

    def without(self, names: Iterable[str]) -> "Collection":
        """The same without the matches of these images, whose keypoints so are in no track."""
        if not names:
            return self
        is_kept = np.array([image.name not in names for image in self.images])
        kept = is_kept[self.image_of_node[self.edges.a]] & is_kept[self.image_of_node[self.edges.b]]
        return replace(self, edges=Edges(*(column[kept] for column in self.edges)), warps=self.warps[kept])


def read_images(features: FeatureStore, *, continued: bool = False) -> list[ImageKeypoints]:
    """The images that d2sfm extracted, sorted by name, with or without keypoints of continued tracks.

    Raises RuntimeError if features are in the published code's pixel frame: they are off by two pixels of the input
    from what the network saw there.
    """
    images = []
    for name in features.torn():
        warn_once(f"left out: {features.path}: {name} {TORN}")
    for found in features.keypoints(continued):
        if found.convention is not Convention.COLMAP:
            raise RuntimeError(
                f"{features.path} holds features in the frame {found.convention}: extract again with --overwrite, "
                f"without --convention {found.convention}"
            )
        image, size = found.image, (found.image.width, found.image.height)
        of_image = (image.image_id, image.name, size, found.input_size, found.orientation, found.keypoints)
        images.append(ImageKeypoints.of_stored(*of_image, found.grey_range))
    return images


def read_collection(images: list[ImageKeypoints], store: MatchStore, around: Iterable[int] | None = None) -> Collection:
    """The images with the verified matches between them. RuntimeError if no pair is verified.

    around: ids of images; only matches of these and of the images in pairs with them are read then. Matches of
    continued tracks are read where their keypoints are, as the most certain.
    """
    index = {image.image_id: i for i, image in enumerate(images)}
    first = np.cumsum([0, *(len(image.xy) for image in images)])
    pairs = image_pairs(store.done_pairs(verified=True))
    pairs = pairs[np.isin(pairs, list(index)).all(axis=1)]
    if around is not None:
        near = np.unique(pairs[np.isin(pairs, list(around)).any(axis=1)])
        pairs = pairs[np.isin(pairs, near).all(axis=1)]
    descriptors = LruCache(store.descriptors, DESCRIPTOR_CACHE_BYTES)
    parts: list[tuple[np.ndarray, ...]] = []
    for a, b in in_tiles(pairs).tolist():
        try:
            matches = store.inlier_matches(a, b).astype(np.int64)
            counts = [len(images[index[each]].xy) for each in (a, b)]
            matches = matches[(matches < counts).all(axis=1)]  # else tracks are continued again
            if not len(matches):
                continue
            of_a, of_b = matches.T
            is_own = (matches < [len(descriptors[each]) for each in (a, b)]).all(axis=1)
            own_a, own_b = descriptors[a][of_a[is_own]], descriptors[b][of_b[is_own]]
            cosine = np.full(len(matches), CERTAIN, np.float32)
            cosine[is_own] = np.einsum("md,md->m", own_a, own_b, dtype=np.float32)
        except UnusableRow as error:
            warn_once(f"left out: {error}")
            continue
        i, j = index[a], index[b]
        warps = local_warps(images[i].xy[of_a], images[j].xy[of_b])
        # Everything of a match is kept small: there are millions.
        nodes = ((first[i] + of_a).astype(np.int32), (first[j] + of_b).astype(np.int32))
        parts.append((*nodes, cosine, warps.astype(np.float32)))
    if not parts:
        if len(pairs):
            raise RuntimeError(
                f"{store.path} holds {counted(len(pairs), 'pair')} whose matches agree on no geometry, so nothing can "
                "be refined: d2sfm reconstruct tells likely causes"
            )
        raise RuntimeError(f"{store.path} holds no verified pairs of images: run d2sfm match first")
    begin, end, cosine, warps = map(np.concatenate, zip(*parts, strict=True))
    return Collection(images=images, edges=Edges(begin, end, cosine), warps=warps)
