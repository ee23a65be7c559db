"""Databases with D2 features beside others are merged with all that bridges and restores them."""

import shutil

import numpy as np
import pytest
from support.bridge_database import ADDED, OWN, bridge, dump, unbridge, write_foreign, write_random_layer

from d2sfm.database import BridgeStore, FeatureStore, layer_of
from d2sfm.database.bridge_writer import BridgedPair
from d2sfm.database.connection import Connection, open_pycolmap
from d2sfm.exchange.merge import merge_databases

OTHERS = ("a.png", "b.png", "c.png", "d.png")
PAIRS = (BridgedPair((1, 2), np.array([[OWN, OWN + 1]]), np.array([[OWN, OWN + 1]]), None),)


@pytest.fixture
def parts(tmp_path):
    """Two databases of others, the second one bridged, and a copy of it that is not."""
    first, second = write_foreign(tmp_path / "first.db"), write_foreign(tmp_path / "second.db", names=OTHERS)
    shutil.copy(second, before := tmp_path / "before.db")
    bridge(second, write_random_layer(second, tmp_path / "layer.db", OTHERS), PAIRS)
    return first, second, before


@pytest.mark.parametrize("is_first", [True, False])
def test_a_bridge_is_merged_and_restored(tmp_path, parts, is_first):
    first, second, before = parts
    merged, expected = tmp_path / "merged.db", tmp_path / "expected.db"
    for bridged, target in ((second, merged), (before, expected)):
        merge_databases((bridged, first) if is_first else (first, bridged), target)
    with BridgeStore(merged) as store:
        images = store.images()
        assert list(images) == list(OTHERS)
        ids = [images[name].image_id for name in OTHERS]
        assert store.pairs().tolist() == [ids[:2]]
    with open_pycolmap(merged) as colmap:
        assert colmap.read_matches(*ids[:2]).tolist()[-1] == [OWN, OWN + 1]
    with layer_of(merged) as layer, FeatureStore(layer) as store:
        assert {name: len(store.read(name)) for name in store.extracted()} == dict.fromkeys(OTHERS, ADDED)
    assert unbridge(merged) == len(OTHERS)
    assert dump(merged) == dump(expected)


def test_bridges_of_other_settings_are_not_merged(tmp_path, parts):
    first, second, _ = parts
    layer = write_random_layer(first, tmp_path / "other.db")
    with Connection(layer) as connection:
        connection.rows("""UPDATE d2sfm_features SET fingerprint = '{"max_edge": 800}'""")
    bridge(first, layer)
    with pytest.raises(RuntimeError, match=r"max_edge 800 beside others.*max_edge None.*--restore"):
        merge_databases((first, second), tmp_path / "merged.db")
