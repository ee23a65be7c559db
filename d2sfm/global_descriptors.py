"""One vector for each image that tells which images look alike, from the descriptors of its keypoints.

VLAD (Jegou et al., Aggregating local descriptors into a compact image representation, CVPR 2010): k-means on the
collection gives some words; of each word an image has the sum of what its descriptors differ from it.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch.nn import functional as F

from d2sfm.database import PairStore

WORDS = 32
SAMPLE_IMAGES, SAMPLE_DESCRIPTORS = 500, 100_000  # that k-means sees: what it needs does not grow with the collection
ITERATIONS = 15

logger = logging.getLogger(__name__)


@contextmanager
def _one_thread() -> Iterator[None]:
    """The products are small: threads wait for each other, up to 30 times as long where the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.inference_mode()
@_one_thread()
def global_descriptors(store: PairStore, image_ids: Sequence[int], words: int = WORDS) -> np.ndarray:
    """Global descriptors of images, [N, D] float16 of unit length, in the order of image_ids. D is words * 512 (328 MB
    for 10000 images), less where k-means sees fewer descriptors than words.

    Descriptors are read one image at a time. An image without any keypoint has zeros. The same database gives the same
    vectors on any number of processors. Raises RuntimeError where descriptors are not D2-Net's.
    """
    logger.info("global descriptors of %d images from those of their keypoints", len(image_ids))
    vocabulary = make_vocabulary(store, image_ids, words)
    found = np.zeros((len(image_ids), vocabulary.numel()), np.float16)
    if not len(vocabulary):
        return found
    for row, image_id in zip(found, image_ids, strict=True):
        row[:] = vlad(torch.from_numpy(store.descriptors(image_id)).float(), vocabulary)
    return found


def vlad(descriptors: torch.Tensor, vocabulary: torch.Tensor) -> torch.Tensor:
    """VLAD of descriptors, [N, D] float32, for words [K, D]: [K * D] of unit length, zeros where N is 0.

    Descriptors that are all words themselves leave nothing to sum up: all numbers are equal then.
    """
    nearest = _nearest_word(descriptors, vocabulary)
    sums = torch.zeros_like(vocabulary).index_add_(0, nearest, descriptors - vocabulary[nearest])
    sums = F.normalize(sums, dim=1)  # each word counts alike: a texture that fills the picture does not drown the rest
    pooled = (sums.sign() * sums.abs().sqrt()).flatten()
    if len(descriptors) and not pooled.any():
        pooled = torch.ones_like(pooled)
    return F.normalize(pooled, dim=0)


def make_vocabulary(store: PairStore, image_ids: Sequence[int], words: int = WORDS) -> torch.Tensor:
    """Words by k-means, [words, 512] float32, from descriptors of images all over the collection."""
    generator = np.random.default_rng(0)
    chosen = sorted(generator.permutation(len(image_ids))[:SAMPLE_IMAGES].tolist())
    of_each = -(-SAMPLE_DESCRIPTORS // len(chosen))
    parts = []
    for index in chosen:
        descriptors = store.descriptors(image_ids[index])
        parts.append(descriptors[generator.permutation(len(descriptors))[:of_each]])
    sample = torch.from_numpy(np.concatenate(parts)).float()
    vocabulary = sample[torch.from_numpy(generator.permutation(len(sample))[:words])]
    for _ in range(ITERATIONS if len(vocabulary) else 0):
        nearest = _nearest_word(sample, vocabulary)
        sums = torch.zeros_like(vocabulary).index_add_(0, nearest, sample)
        counts = torch.bincount(nearest, minlength=len(vocabulary))[:, None]
        vocabulary = torch.where(counts > 0, sums / counts.clamp(min=1), vocabulary)
    return vocabulary


def _nearest_word(descriptors: torch.Tensor, vocabulary: torch.Tensor) -> torch.Tensor:
    """Index of the nearest word of each descriptor, [N]."""
    return (descriptors @ vocabulary.T - vocabulary.square().sum(1) / 2).argmax(1)
