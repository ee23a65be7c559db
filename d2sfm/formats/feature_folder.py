"""A folder of npz or mat files, one for each image, with the interface of ``HlocFeatures``."""

from contextlib import AbstractContextManager
from pathlib import Path

from d2sfm.coordinates import Size
from d2sfm.features.published import colmap_fingerprint, in_colmap_frame
from d2sfm.features.record import Features
from d2sfm.formats.npz_mat import read_features, read_fingerprint, read_published, tells_convention
from d2sfm.network.input import input_size
from d2sfm.options import ImportOptions
from d2sfm.photographs.reading import list_files


class FeatureFolder(AbstractContextManager):
    """The files <image name><extension> below a folder, d2sfm's and the published tool's.

    FileNotFoundError if the folder is missing. options: what is assumed if a file does not say.
    """

    def __init__(self, path: Path | str, options: ImportOptions | None = None):
        self.path, self._options = Path(path), options or ImportOptions()
        if not self.path.is_dir():
            raise FileNotFoundError(f"no folder of feature files {self.path}")

    def names(self) -> list[str]:
        """Sorted names of the images that have a file."""
        extension = self._options.extension
        # As photographs are found: their files lie beside them, also behind links to folders.
        return sorted(name.removesuffix(extension) for name in list_files(self.path) if name.endswith(extension))

    def fingerprint(self, name: str) -> str | None:
        """The settings that made the features of an image, if d2sfm wrote them. Raises as ``read``."""
        fingerprint = read_fingerprint(self._file(name)) if self.tells_convention(name) else None
        return None if fingerprint is None else colmap_fingerprint(fingerprint)

    def tells_convention(self, name: str) -> bool:
        """Whether the file of an image gives the frame of its keypoints. Raises as ``read``."""
        return tells_convention(self._file(name))

    def read(self, name: str, image_size: Size) -> Features:
        """Features of an image in COLMAP's frame, in the file's order; descriptors have the file's dtype.

        image_size: (width, height) of the photograph in pixels. Raises FileNotFoundError if the file is missing,
        ValueError if it is damaged, of a photograph of another size, or tells no convention and options neither.
        """
        file = self._file(name)
        if self.tells_convention(name):
            features = read_features(file)
        elif self._options.convention is None:
            raise ValueError(
                f"{file} does not say in which frame its keypoints are: give --convention reference (as the published "
                "tool writes) or colmap"
            )
        else:
            size = input_size(image_size, self._options.max_edge, self._options.max_sum_edges)
            features = read_published(file, self._options.convention, image_size, size)
        if features.image_size != tuple(image_size):
            raise ValueError(
                f"{file} is for a picture of {features.image_size[0]} x {features.image_size[1]} px, but the "
                f"photograph has {image_size[0]} x {image_size[1]}"
            )
        return in_colmap_frame(features)

    def __exit__(self, *exception) -> None:
        """Nothing stays open between files."""

    def _file(self, name: str) -> Path:
        return self.path / f"{name}{self._options.extension}"
