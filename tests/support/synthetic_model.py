"""Models of exact points, by pycolmap."""

import pycolmap


def synthetic(num_frames=6, num_points=200, seed=0):
    pycolmap.set_random_seed(seed)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig = 1, 1
    options.num_frames_per_rig, options.num_points3D = num_frames, num_points
    return pycolmap.synthesize_dataset(options)


def synthetic_rig(database, num_frames=5, num_cameras=2, seed=1):
    """Write what a rig saw, with noise of half a pixel, to a database; returns the true model."""
    pycolmap.set_random_seed(seed)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig = 1, num_cameras
    options.num_frames_per_rig, options.num_points3D = num_frames, 120
    with pycolmap.Database.open(database) as colmap:
        truth = pycolmap.synthesize_dataset(options, colmap)
        pycolmap.synthesize_noise(pycolmap.SyntheticNoiseOptions(point2D_stddev=0.5), truth, colmap)
    return truth
