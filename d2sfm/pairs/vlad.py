"""One vector for each image that tells which images look alike, from the descriptors of its keypoints.

VLAD (Jegou et al., Aggregating local descriptors into a compact image representation, CVPR 2010): k-means on the
collection gives some words; of each word an image has the sum of what its descriptors differ from it.
"""

import logging
import warnings
from collections.abc import Sequence

import numpy as np
from scipy.cluster.vq import kmeans2, vq
from scipy.sparse import csr_matrix

from d2sfm.database.rows import UnusableRow, warn_once
from d2sfm.features.record import DESCRIPTOR_SIZE
from d2sfm.pairs.images import DescribedImages

WORDS = 32
SAMPLE_IMAGES, SAMPLE_DESCRIPTORS = 500, 100_000  # that k-means sees: what it needs does not grow with the collection
ITERATIONS = 15

logger = logging.getLogger(__name__)


def global_descriptors(images: DescribedImages, image_ids: Sequence[int], words: int = WORDS) -> np.ndarray:
    """Global descriptors of images, [N, D] float16 of unit length, in the order of image_ids. D is words * 512 (328 MB
    for 10000 images), less where k-means sees fewer descriptors than words.

    Descriptors are read one image at a time. An image without any keypoint has zeros. The same database gives the same
    vectors on any number of processors. Raises RuntimeError if descriptors are not D2-Net's.
    """
    vocabulary = make_vocabulary(images, image_ids, words)
    logger.info("global descriptors of %d images from those of their keypoints", len(image_ids))
    return vectors(images, image_ids, vocabulary)


def vectors(images: DescribedImages, image_ids: Sequence[int], vocabulary: np.ndarray) -> np.ndarray:
    """``global_descriptors`` with a given vocabulary, [K, 512]."""
    found = np.zeros((len(image_ids), vocabulary.size), np.float16)
    if not len(vocabulary):
        return found
    for row, image_id in zip(found, image_ids, strict=True):
        row[:] = vlad(_descriptors(images, image_id).astype(np.float32), vocabulary)
    return found


def _descriptors(images: DescribedImages, image_id: int) -> np.ndarray:
    """Descriptors of an image; none, and a warning, where they can't be used."""
    try:
        return images.descriptors(image_id)
    except UnusableRow as error:
        warn_once(f"looks like no other: {error}")
        return np.zeros((0, DESCRIPTOR_SIZE), np.float16)


def vlad(descriptors: np.ndarray, vocabulary: np.ndarray) -> np.ndarray:
    """VLAD of descriptors, [N, D] float32, for words [K, D]: [K * D] float32 of unit length, zeros where N is 0.

    Descriptors that are all words themselves leave nothing to sum up: all numbers are equal then.
    """
    nearest, _ = vq(descriptors, vocabulary)
    members = csr_matrix(
        (np.ones(len(nearest), np.float32), nearest, np.arange(len(nearest) + 1)), (len(nearest), len(vocabulary))
    )
    sums = members.T @ (descriptors - vocabulary[nearest])  # what np.add.at adds up, in a tenth of the time
    sums = _unit(sums)  # each word counts alike: a texture that fills the picture does not drown the rest
    pooled = (np.sign(sums) * np.sqrt(np.abs(sums))).ravel()
    if len(descriptors) and not pooled.any():
        pooled = np.ones_like(pooled)
    return _unit(pooled)


def make_vocabulary(images: DescribedImages, image_ids: Sequence[int], words: int = WORDS) -> np.ndarray:
    """Words by k-means, [words, 512] float32, from descriptors of images all over the collection."""
    generator = np.random.default_rng(0)
    chosen = sorted(generator.permutation(len(image_ids))[:SAMPLE_IMAGES].tolist())
    of_each = -(-SAMPLE_DESCRIPTORS // len(chosen))
    parts = []
    for index in chosen:
        descriptors = _descriptors(images, image_ids[index])
        parts.append(descriptors[generator.permutation(len(descriptors))[:of_each]])
    sample = np.concatenate(parts).astype(np.float32)
    first = sample[generator.permutation(len(sample))[:words]]
    if not len(first):
        return first
    with warnings.catch_warnings():  # a word that loses all its descriptors, as equal ones do, stays where it is
        warnings.filterwarnings("ignore", "One of the clusters is empty", UserWarning)
        return kmeans2(sample, first, ITERATIONS, minit="matrix")[0]


def _unit(vectors: np.ndarray) -> np.ndarray:
    """The vectors, [..., D], with length 1, or 0 if that is what they have (or next to it)."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
