import hashlib

from d2sfm.training.scene_lists import read_scene_list
from megadepth_utils import TRAIN_SCENES, VALID_SCENES


def test_the_papers_split():
    train, valid = read_scene_list(TRAIN_SCENES), read_scene_list(VALID_SCENES)
    assert (len(train), len(valid)) == (117, 77)
    assert (train[0], train[-1], valid[0], valid[-1]) == ("0000", "5017", "0016", "5018")
    assert not set(train) & set(valid)
    for scenes in (train, valid):
        assert scenes == sorted(scenes)
        assert all(len(scene) == 4 and scene.isdigit() for scene in scenes)
    digests = [hashlib.sha256(" ".join(scenes).encode()).hexdigest()[:16] for scenes in (train, valid)]
    assert digests == ["a760d8b7d24d400f", "3225dc821d2208c1"]  # of the paper's lists, taken independently
