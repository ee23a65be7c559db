"""The images of a folder of shards: ids and positions of its database, features of its blocks."""

import shutil
from contextlib import AbstractContextManager, ExitStack

import numpy as np
import pycolmap

from d2sfm.database import MatchStore
from d2sfm.database.rows import check_descriptors
from d2sfm.parts import scratch_folder
from d2sfm.shards.feature_block import FeatureBlock
from d2sfm.shards.folder import ShardFolder


class BlockImages(AbstractContextManager):
    """What choosing pairs needs to know (``pairs.images.PairImages``), by the ids of ``folder.database``.

    Raises FileNotFoundError if a block of features is missing, ValueError if one is damaged.
    """

    def __init__(self, folder: ShardFolder):
        self.path, self._folder = folder.path, folder
        with ExitStack() as stack:
            copy = stack.enter_context(scratch_folder()) / "photographs.db"  # a network folder may lack SQLite's locks
            store = stack.enter_context(MatchStore(shutil.copyfile(folder.database, copy)))
            self._names, self._priors = store.image_names(), store.pose_priors()
        self._number, self._block, self._stack = None, None, ExitStack()  # the block that was read last

    def image_names(self) -> dict[int, str]:
        return dict(self._names)

    def image_ids(self) -> dict[str, int]:
        """Ids of the images by name."""
        return {name: image_id for image_id, name in self._names.items()}

    def has_features(self, image_id: int) -> bool:
        return image_id in self._names  # all have: photographs without features are not imported

    def pose_priors(self) -> dict[int, pycolmap.PosePrior]:
        return dict(self._priors)

    def descriptors(self, image_id: int) -> np.ndarray:
        name = self._names[image_id]
        number = self._folder.photographs.block_of(name)
        if number != self._number:
            self._stack.close()
            self._block = self._stack.enter_context(FeatureBlock(self._folder.features(number)))
            self._number = number
        descriptors = self._block.descriptors(name)
        check_descriptors(self._block.path, name, descriptors)
        return descriptors

    def __exit__(self, *exception) -> None:
        self._stack.close()
