"""Values of options that are refused, with what is expected, and the ones at the bounds."""

from pathlib import Path

import pytest

from d2sfm.options import (
    CameraMode,
    CameraOptions,
    DemoOptions,
    DescriptorDtype,
    ExportedMatches,
    ExportFormat,
    ExportOptions,
    ExtractionOptions,
    ImportOptions,
    MapCacheOptions,
    MatchingOptions,
    OutputType,
    PairKind,
    PairSelectionOptions,
    ReconstructionOptions,
    RefinementOptions,
    StorageOptions,
    TriangulationOptions,
    VerificationOptions,
)

NAN, INFINITE = float("nan"), float("inf")
MODEL = Path("sparse/0")


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (ExtractionOptions, {"scales": ()}, "scales must be between 0.1 and 8"),
        (ExtractionOptions, {"scales": (1.0, 8.1)}, "scales must be between 0.1 and 8"),
        (ExtractionOptions, {"scales": (NAN,)}, "scales must be between 0.1 and 8"),
        (ExtractionOptions, {"scales": (1.0, 2.0, 1.0)}, "scales must differ"),
        (ExtractionOptions, {"max_edge": -1}, r"max_edge must be 0 \(no limit\) or more"),
        (ExtractionOptions, {"max_sum_edges": -1}, r"max_sum_edges must be 0 \(no limit\) or more"),
        (ExtractionOptions, {"max_keypoints": 0}, "max_keypoints must be 1 or more"),
        (ExtractionOptions, {"border": -1}, "border must be 0 px or more"),
        (ExtractionOptions, {"tile_size": 7}, "tile_size must be 8 px or more"),
        (ExtractionOptions, {"memory_limit": 0.0}, "memory_limit must be above 0"),
        (ExtractionOptions, {"memory_limit": INFINITE}, "memory_limit must be above 0"),
        (ExtractionOptions, {"mirror": ("https://a",)}, "mirror goes with weights d2_tf or"),
        (ExtractionOptions, {"mirror": ("ftp://a",), "weights": "d2_tf"}, "mirror must start with http"),
        (StorageOptions, {"output_extension": ""}, "output_extension must be a suffix"),
        (StorageOptions, {"output_extension": "/a"}, "output_extension must be a suffix"),
        (
            StorageOptions,
            {"output_type": OutputType.MAT, "descriptor_dtype": DescriptorDtype.FLOAT16},
            "mat files can't hold float16",
        ),
        (CameraOptions, {"default_focal_length_factor": 0.0}, "default_focal_length_factor must be above 0"),
        (CameraOptions, {"default_focal_length_factor": NAN}, "default_focal_length_factor must be above 0"),
        (CameraOptions, {"existing_camera": 1, "camera_mode": CameraMode.SINGLE}, "existing_camera brings its model"),
        (CameraOptions, {"existing_camera": 1, "camera_params": "1,2,3"}, "existing_camera brings its model"),
        (PairSelectionOptions, {"pairs": "sequential", "overlap": 0}, "overlap must be 1 or more"),
        (PairSelectionOptions, {"pairs": "sequential", "loop_candidates": -1}, "loop_candidates must be 0 or more"),
        (PairSelectionOptions, {"pairs": "retrieval", "num_neighbours": 0}, "num_neighbours must be 1 or more"),
        (PairSelectionOptions, {"pairs": "spatial", "max_distance_m": NAN}, "max_distance_m must be above 0"),
        (PairSelectionOptions, {"pairs": "poses", "model": MODEL, "max_angle_deg": 181.0}, "lie from 0 to 180"),
        (PairSelectionOptions, {"pairs": "poses"}, "--pairs poses needs a COLMAP model"),
        (
            PairSelectionOptions,
            {"model": MODEL},
            "--model goes with --pairs covisibility or poses, not with --pairs auto",
        ),
        (PairSelectionOptions, {"pairs": "retrieval", "overlap": 3}, "--overlap goes with --pairs sequential"),
        (MatchingOptions, {"ratio": 0.0}, "ratio must be above 0"),
        (MatchingOptions, {"ratio": 1.01}, "ratio must be above 0 and at most 1"),
        (MatchingOptions, {"max_distance": 2.01}, "max_distance must lie from 0 to 2"),
        (MatchingOptions, {"max_distance": NAN}, "max_distance must lie from 0 to 2"),
        (MatchingOptions, {"min_similarity": -1.01}, "min_similarity must lie from -1 to 1"),
        (VerificationOptions, {"max_error": 0.0}, "max_error must be above 0"),
        (VerificationOptions, {"max_error": INFINITE}, "max_error must be above 0"),
        (VerificationOptions, {"min_inlier_ratio": 0.0}, "min_inlier_ratio must be above 0"),
        (VerificationOptions, {"max_num_trials": 0}, "max_num_trials must be 1 or more"),
        (VerificationOptions, {"min_num_inliers": 2**31}, r"min_num_inliers must be 1 or more \(32 bits\)"),
        (VerificationOptions, {"seed": -1}, "seed must be between 0 and"),
        (RefinementOptions, {"max_error": NAN}, "max_error must be above 0"),
        (RefinementOptions, {"rounds": 0}, "rounds must be 1 or more"),
        (MapCacheOptions, {"cache_limit": -0.1}, "cache_limit must be 0 or more"),
        (RefinementOptions, {"seed": -1}, "seed must be between 0 and"),
        (RefinementOptions, {"mirror": ("https://a",)}, "mirror goes with weights d2_tf or"),
        (ReconstructionOptions, {"min_starts": 0}, "min_starts must be between 1 and 1000"),
        (ReconstructionOptions, {"max_starts": 1001}, "max_starts must be between 1 and 1000"),
        (ReconstructionOptions, {"time_budget": 0.0}, "time_budget must be above 0 s"),
        (ReconstructionOptions, {"time_budget": NAN}, "time_budget must be above 0 s"),
        (ReconstructionOptions, {"seed": 2**31 - 1000}, "seed must be between 0 and"),
        (ReconstructionOptions, {"num_threads": 0}, "num_threads must be 1 or more, or -1"),
        (TriangulationOptions, {"max_error": 0.0}, "max_error must be above 0"),
        (TriangulationOptions, {"seed": -1}, "seed must be between 0 and"),
        (TriangulationOptions, {"num_threads": -2}, "num_threads must be 1 or more, or -1"),
        (DemoOptions, {"views": 5}, "views must be between 6 and 40"),
        (DemoOptions, {"seed": -1}, "seed must be between 0 and"),
        (ExportOptions, {"extension": "a/b"}, "extension must be a suffix"),
        (
            ExportOptions,
            {"format": ExportFormat.NPZ, "matches": ExportedMatches.NONE},
            "--matches goes with --format hloc, not with --format npz",
        ),
        (ExportOptions, {"extension": ".x"}, "--extension goes with --format npz or mat"),
        (ImportOptions, {"extension": ""}, "extension must be a suffix"),
        (ImportOptions, {"max_edge": -1}, "max_edge must be 0"),
        (ImportOptions, {"max_sum_edges": -1}, "max_sum_edges must be 0"),
    ],
)
def test_values_that_can_not_be_are_refused(kind, values, message):
    with pytest.raises(ValueError, match=message):
        kind(**values)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (ExtractionOptions, {"scales": (0.1, 8.0), "max_edge": 0, "max_sum_edges": 0, "max_keypoints": 1}),
        (ExtractionOptions, {"tile_size": 8, "memory_limit": 0.01, "mirror": ("http://a",), "weights": "d2_tf"}),
        (CameraOptions, {"existing_camera": 1}),
        (PairSelectionOptions, {"pairs": "sequential", "overlap": 1, "loop_candidates": 0}),
        (PairSelectionOptions, {"pairs": "spatial", "max_distance_m": INFINITE, "num_neighbours": 1}),
        (PairSelectionOptions, {"pairs": "poses", "model": MODEL, "max_angle_deg": 180.0}),
        (MatchingOptions, {"ratio": 1.0, "max_distance": 2.0, "min_similarity": -1.0}),
        (VerificationOptions, {"min_inlier_ratio": 1.0, "max_num_trials": 1, "min_num_inliers": 1}),
        (RefinementOptions, {"rounds": 1}),
        (MapCacheOptions, {"cache_limit": 0.0}),
        (ReconstructionOptions, {"min_starts": 1, "max_starts": 1000, "seed": 2**31 - 1001, "num_threads": -1}),
        (ReconstructionOptions, {"time_budget": INFINITE}),
        (DemoOptions, {"views": 40}),
        (ExportOptions, {"format": ExportFormat.MAT, "extension": ".x"}),
    ],
)
def test_values_at_the_bounds_are_taken(kind, values):
    taken = kind(**values)
    assert all(getattr(taken, name) == value for name, value in values.items())


def test_more_maps_are_kept_in_a_folder_than_in_memory():
    assert MapCacheOptions().limit_bytes == 2e9
    assert MapCacheOptions(cache=Path("maps")).limit_bytes == 20e9
    assert MapCacheOptions(cache=Path("maps"), cache_limit=0.5).limit_bytes == 0.5e9


def test_what_is_called_like_no_kind_is_a_file():
    assert PairSelectionOptions(pairs="spatial").kind is PairKind.SPATIAL
    assert PairSelectionOptions(pairs="./spatial").kind is None
