import pytest

from d2sfm.options import PairOptions, TrainingOptions


def test_the_defaults_are_the_published_recipe():
    pairs, options = PairOptions(), TrainingOptions()
    assert (pairs.min_overlap, pairs.max_overlap, pairs.max_scale_ratio) == (0.5, 1, float("inf"))
    assert (pairs.pairs_per_scene, pairs.image_size, pairs.depth_tolerance) == (100, 256, 0.05)
    assert (options.num_epochs, options.lr, options.batch_size, options.accumulate) == (10, 1e-3, 1, 1)
    assert options.validation_pairs_per_scene == 25


@pytest.mark.parametrize(
    ("options", "values", "message"),
    [
        (PairOptions, {"min_overlap": 0.8, "max_overlap": 0.5}, "overlaps must be"),
        (PairOptions, {"min_overlap": -0.1}, "overlaps must be"),
        (PairOptions, {"min_overlap": float("nan")}, "overlaps must be"),
        (PairOptions, {"max_overlap": 1.1}, "overlaps must be"),
        (PairOptions, {"max_scale_ratio": 0.9}, "max_scale_ratio must be 1 or more"),
        (PairOptions, {"max_scale_ratio": float("nan")}, "max_scale_ratio must be 1 or more"),
        (PairOptions, {"pairs_per_scene": 0}, "pairs_per_scene must be 1 or more"),
        (PairOptions, {"image_size": 250}, "image_size must be a multiple of 8"),
        (PairOptions, {"image_size": 88}, "image_size must be a multiple of 8, 96 or more"),
        (PairOptions, {"depth_tolerance": 0}, "depth_tolerance must be above 0"),
        (PairOptions, {"depth_tolerance_relative": float("inf")}, "depth_tolerance_relative must be above 0"),
        (TrainingOptions, {"num_epochs": 0}, "num_epochs must be 1 or more"),
        (TrainingOptions, {"batch_size": 0}, "batch_size must be 1 or more"),
        (TrainingOptions, {"accumulate": 0}, "accumulate must be 1 or more"),
        (TrainingOptions, {"checkpoint_interval": 0}, "checkpoint_interval must be 1 or more"),
        (TrainingOptions, {"lr": 0}, "lr must be above 0"),
        (TrainingOptions, {"lr": float("nan")}, "lr must be above 0"),
        (TrainingOptions, {"num_workers": -1}, "num_workers must be 0 or more"),
        (TrainingOptions, {"seed": -1}, "seed must be 0 or more"),
    ],
)
def test_values_without_meaning_are_refused(options, values, message):
    with pytest.raises(ValueError, match=message):
        options(**values)
