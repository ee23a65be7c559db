"""A model of exact points, by pycolmap."""

import pycolmap


def synthetic(num_frames=6, num_points=200, seed=0):
    pycolmap.set_random_seed(seed)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig = 1, 1
    options.num_frames_per_rig, options.num_points3D = num_frames, num_points
    return pycolmap.synthesize_dataset(options)
