"""Import of what the published code wrote, beside what the real network finds."""

import shutil

import numpy as np
import pytest
from scipy.spatial import cKDTree
from support.feature_records import write_as_hloc

from d2sfm.database import FeatureStore
from d2sfm.exchange.import_features import import_features
from d2sfm.extraction.extract import extract_to_database
from d2sfm.options import Convention, DescriptorDtype, ExtractionOptions, ImportOptions, Precision


def features_in(path):
    """Features by name."""
    with FeatureStore(path) as store:
        return {name: store.read(name) for name in store.extracted()}


@pytest.fixture(scope="module")
def extracted_portrait(tmp_path_factory, shared_data):
    """What d2sfm finds in the golden portrait."""
    root = tmp_path_factory.mktemp("portrait")
    (root / "photographs").mkdir()
    shutil.copy(shared_data.parent / "golden" / "portrait_351x479.png", root / "photographs")
    options = ExtractionOptions(precision=Precision.FLOAT32)
    extract_to_database(root / "db.db", root / "photographs", options=options)
    return features_in(root / "db.db")["portrait_351x479.png"]


@pytest.mark.slow
@pytest.mark.photographs
@pytest.mark.parametrize("layout", ["npz", "hloc"])
def test_the_published_codes_own_numbers_come_to_where_d2sfm_finds_them(
    tmp_path, shared_data, extracted_portrait, layout
):
    """Golden keypoints of the published code, in the files that it and hloc would write of them."""
    golden, name = shared_data.parent / "golden", "portrait_351x479.png"
    (tmp_path / "photographs").mkdir()
    shutil.copy(golden / name, tmp_path / "photographs")
    published = np.load(golden / "portrait_351x479.singlescale.npz")
    if layout == "npz":
        source = tmp_path / "photographs"
        shutil.copy(golden / "portrait_351x479.singlescale.npz", source / f"{name}.d2-net")
    else:
        found = {"scores": published["scores"], "descriptors": np.ascontiguousarray(published["descriptors"].T)}
        source = tmp_path / "f.h5"
        write_as_hloc(source, name, published["keypoints"][:, :2], ((351, 479),) * 2, **found)
    options = ImportOptions(convention=Convention.REFERENCE, descriptor_dtype=DescriptorDtype.FLOAT32)
    assert import_features(tmp_path / "a.db", tmp_path / "photographs", source, options=options).imported == 1
    imported, extracted = features_in(tmp_path / "a.db")[name], extracted_portrait
    assert len(imported) == len(extracted) > 500
    distance, nearest = cKDTree(extracted.keypoints[:, :2]).query(imported.keypoints[:, :2])
    assert distance.max() < 0.1  # the bundled weights are those of the golden numbers in half precision
    assert np.median(distance) < 2e-3
    assert len(np.unique(nearest)) == len(nearest)
    cosine = np.einsum("nd,nd->n", imported.descriptors, extracted.descriptors[nearest], dtype=np.float64)
    assert cosine.min() > 0.999
