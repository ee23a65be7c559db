"""Stand-ins for what the pipeline of extraction has at both ends, and for its network."""

import threading
from contextlib import contextmanager

import numpy as np
import torch

from d2sfm.features.record import Features
from d2sfm.network.input import Prepared
from d2sfm.options import Convention


class StandIn:
    """An extractor whose keypoints are as many as the value of the first pixel."""

    device = torch.device("cpu")

    def __init__(self, batch: int = 1, then=None):
        self.batch, self.then, self.batches = batch, then, []

    def batch_size(self, image_size):
        return self.batch

    def prepare(self, image, mask, orientation, grey_range):
        return Prepared(image, (image.shape[1], image.shape[0]), mask, orientation, grey_range)

    def extract_batch(self, pictures, on_maps=None):
        self.batches.append(len(pictures))
        if self.then:
            self.then([picture.pixels for picture in pictures])
        return [self.features(picture.pixels) for picture in pictures]

    @staticmethod
    def features(image):
        count = int(image[0, 0, 0])
        return Features(
            keypoints=np.full((count, 4), image.mean(), np.float32),
            descriptors=np.full((count, 512), 0.5, np.float16),
            image_size=(image.shape[1], image.shape[0]),
            input_size=(image.shape[1], image.shape[0]),
            convention=Convention.COLMAP,
            scales=(1.0,),
        )


class Store:
    """Keeps what is written, and who opened, wrote and closed."""

    def __init__(self, refuse=None):
        self.written, self.threads, self.closed, self.refuse = {}, set(), False, refuse or {}

    @contextmanager
    def __call__(self):
        self.threads.add(threading.current_thread())
        try:
            yield self.write
        finally:
            self.threads.add(threading.current_thread())
            self.closed = True

    def write(self, name, features):
        self.threads.add(threading.current_thread())
        if name in self.refuse:
            raise self.refuse[name]
        self.written[name] = features
