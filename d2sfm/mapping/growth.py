"""Images placed in a model whose poses, cameras and points stay fixed or are adjusted with them."""

from collections.abc import Callable, Collection, Mapping

import numpy as np
import pycolmap

from d2sfm.colmap import quiet_pycolmap
from d2sfm.mapping.old_frame import similarity_of_most
from d2sfm.mapping.one_run import MappingInput, Trial, adjust_robustly, incremental_options, robust_options
from d2sfm.mapping.quality import statistics
from d2sfm.mapping.transcription import Transcription

ROUNDS = 3  # of completing tracks and adjusting, at the end; each looks for images that can be placed now
ADJUSTMENTS = 2  # of old and new; a third one changes nothing
GROWN = 1.1  # new images over those of the last adjustment of all of them, for the next one


class Growth:
    """A model in which new images are placed.

    transcription: its model has all images, those without a pose to be placed, and is changed in place; poses of its
    old images stay, and keypoints of the longer ones are triangulated first. pairs: verified matches by image ids.
    given: ids are of the model. refines_distortion: whether the distortion of free cameras is refined.
    """

    def __init__(
        self,
        transcription: Transcription,
        pairs: Mapping[tuple[int, int], np.ndarray],
        given: MappingInput,
        *,
        seed: int,
        refines_distortion: bool,
    ):
        self.model, self._given, self._refines_distortion = transcription.model, given, refines_distortion
        self._options = incremental_options(given, Trial(seed=seed, is_cautious=not refines_distortion))
        images, self._old, longer = self.model.images, transcription.old, transcription.longer
        self._old_frames = {images[image_id].frame_id for image_id in self._old}
        self._old_points = set(self.model.points3D)
        self._old_places = {image_id: set(images[image_id].get_observation_point2D_idxs()) for image_id in longer}
        self._old_cameras = {images[image_id].camera_id for image_id in self._old}
        self._mapper = pycolmap.IncrementalMapper(_cache(self.model, pairs, self._options.min_num_matches))
        self._mapper.begin_reconstruction(self.model)

    def visible_points(self, image_id: int) -> int:
        """Number of points of the model to which an image's matches lead."""
        return self._mapper.observation_manager.num_visible_points3D(image_id)

    @property
    def there(self) -> set[int]:
        """Ids of the images that have a pose."""
        return set(self.model.reg_image_ids())

    @property
    def needed(self) -> int:
        """Number of points that must agree with one pose before an image is placed."""
        return self._options.mapper.abs_pose_min_num_inliers

    @property
    def placed(self) -> list[int]:
        """Ids of the images that have a pose now."""
        return [image_id for image_id in sorted(self.model.reg_image_ids()) if image_id not in self._old]

    def place(self, on_image: Callable[[int], object]) -> None:
        """Place all images that can be placed; old ones stay as they are. on_image is called with 1 for each image."""
        with quiet_pycolmap():
            for image_id in [*self._old_places, *self.placed]:  # the latter in frames that have a pose
                self._mapper.triangulate_image(self._options.triangulation, image_id)
            self._filter(self._old_places)
            adjusted = 0
            for _ in range(ROUNDS):
                while (found := self._register_one()) is not None:
                    on_image(len(found))
                    is_time = len(self.placed) >= GROWN * adjusted
                    self._adjust(self.placed if is_time else found)
                    adjusted = len(self.placed) if is_time else adjusted
                if not self.placed:
                    return
                self._complete()
                self._adjust(self.placed)
            self._filter(self._old_places)
            self._drop_weak()

    def join(self, poses: Mapping[int, pycolmap.Rigid3d]) -> int:
        """Give images that could not be placed the poses that they have in another model, cam_from_world by image id.

        That model is aligned by the images that both have; if they agree on no similarity, nothing is done. ``place``
        then continues with the images that have a pose. Returns the number of images that agree.
        """
        common = [image_id for image_id in poses if self.model.images[image_id].has_pose]
        found, agreeing = similarity_of_most(
            [poses[image_id] for image_id in common],
            [self.model.images[image_id].cam_from_world() for image_id in common],
        )
        if found is not None:
            for image_id, pose in poses.items():
                image = self.model.images[image_id]
                if not image.has_pose:
                    image.frame.set_cam_from_world(image.camera_id, found.transform_camera_world(pose))
                    self._mapper.observation_manager.register_frame(image.frame_id)
        return agreeing

    def adjust_all(self) -> bool:
        """Adjust old and new together, as mapping does; the world moves a little, too. Returns whether all images keep
        their support and cameras stay plausible; if not, nothing has changed.

        All images are triangulated repeatedly: this finds points for which poses and focal lengths of fewer images were
        too inaccurate. Without it, with cameras that were estimated from few images, rotation errors were 1.5 to 2
        times as large.
        """
        options, mapper, before = self._options, self._mapper, pycolmap.Reconstruction(self.model)
        for _ in range(ADJUSTMENTS):
            with quiet_pycolmap():
                self._triangulate_all()
                mapper.iterative_global_refinement(
                    options.ba_global_max_refinements,
                    options.ba_global_max_refinement_change,
                    options.mapper,
                    options.get_global_bundle_adjustment(),
                    options.triangulation,
                    False,
                )
                self._triangulate_all()
            adjust_robustly(self.model, self._given, self._refines_distortion, mapper.observation_manager)
        if self._is_as_whole_as(before):
            return True
        self.model = before
        return False

    def _is_as_whole_as(self, before: pycolmap.Reconstruction) -> bool:
        used = {image.camera_id for image in self.model.images.values() if image.has_pose}
        return (
            set(before.reg_image_ids()) == set(self.model.reg_image_ids())
            and all(map(self._is_possible, used))
            and statistics(self.model).supported >= statistics(before).supported
        )

    def _triangulate_all(self) -> None:
        for image_id in sorted(self.model.reg_image_ids()):
            self._mapper.triangulate_image(self._options.triangulation, image_id)
        self._mapper.complete_and_merge_tracks(self._options.triangulation)

    def finish(self) -> pycolmap.Reconstruction:
        """The model without images that were not placed; nothing can be placed afterwards."""
        with quiet_pycolmap():
            self._mapper.end_reconstruction(False)
            self.model.tear_down()
        return self.model

    def _register_one(self) -> list[int] | None:
        """Ids of the placed images, of one frame; None if none can be placed."""
        for image_id in self._mapper.find_next_images(self._options.mapper, False):
            if self._mapper.register_next_image(self._options.mapper, image_id):
                found = [data.id for data in self.model.images[image_id].frame.image_ids]
                for each in found:
                    self._mapper.triangulate_image(self._options.triangulation, each)
                return found
        return None

    def _new_points(self) -> set[int]:
        """Found among those that the triangulator made or changed: a large model has many more."""
        return self._mapper.get_modified_points3D() - self._old_points

    def _complete(self) -> None:
        triangulator, options = self._mapper.triangulator, self._options.triangulation
        for image_id in self.placed:
            triangulator.complete_image(options, image_id)
        triangulator.complete_all_tracks(options)
        self._mapper.retriangulate(options)

    def _adjust(self, images: Collection[int]) -> None:
        """Adjust these images and the new points that they see, and drop observations that are off."""
        options = robust_options(self._given, self._refines_distortion)
        config = pycolmap.BundleAdjustmentConfig()
        for image_id in images:
            config.add_image(image_id)
            for point in self.model.images[image_id].get_observation_points2D():
                if point.point3D_id not in self._old_points:
                    config.add_variable_point(point.point3D_id)
        for frame_id in self._old_frames:
            config.set_constant_rig_from_world_pose(frame_id)
        for camera_id in self._old_cameras | set(self._given.constant_cameras):
            config.set_constant_cam_intrinsics(camera_id)
        for rig in self.model.rigs.values():
            for sensor in rig.non_ref_sensors:
                config.set_constant_sensor_from_rig_pose(sensor)
        pycolmap.create_default_bundle_adjuster(options, config, self.model).solve()
        self._filter(images)

    def _filter(self, images: Collection[int]) -> None:
        limits, manager = self._options.mapper, self._mapper.observation_manager
        manager.filter_points3D(limits.filter_max_reproj_error, limits.filter_min_tri_angle, self._new_points())
        for image_id in images:
            for place in _off(self.model, image_id, limits.filter_max_reproj_error):
                is_of_old = self.model.images[image_id].points2D[place].point3D_id in self._old_points
                if is_of_old and place not in self._old_places.get(image_id, ()):
                    manager.delete_observation(image_id, place)

    def _drop_weak(self) -> None:
        for frame_id in sorted({self.model.images[image_id].frame_id for image_id in self.placed} - self._old_frames):
            images = [self.model.images[data.id] for data in self.model.frames[frame_id].image_ids]
            points = sum(image.num_points3D for image in images)
            if points < self.needed or not all(self._is_possible(image.camera_id) for image in images):
                self._mapper.observation_manager.deregister_frame(frame_id)

    def _is_possible(self, camera_id: int) -> bool:
        limits = self._options.mapper
        ratios = limits.min_focal_length_ratio, limits.max_focal_length_ratio, limits.max_extra_param
        return not self.model.cameras[camera_id].has_bogus_params(*ratios)


def _off(model: pycolmap.Reconstruction, image_id: int, limit_px: float) -> list[int]:
    """Keypoints whose points project farther away than this."""
    image = model.images[image_id]
    places, points = image.get_observation_point2D_idxs(), image.get_observation_points2D()
    found = []
    for place, point in zip(places, points, strict=True):
        xy = image.project_point(model.points3D[point.point3D_id].xyz)
        if xy is None or np.linalg.norm(xy - point.xy) > limit_px:
            found.append(place)
    return found


def _cache(
    model: pycolmap.Reconstruction, pairs: Mapping[tuple[int, int], np.ndarray], least: int
) -> pycolmap.DatabaseCache:
    """What a mapper reads of a database."""
    cache = pycolmap.DatabaseCache()
    for camera in model.cameras.values():
        cache.add_camera(camera)
    for rig in model.rigs.values():
        cache.add_rig(rig)
    for frame in model.frames.values():
        cache.add_frame(frame)
    graph = cache.correspondence_graph
    for image in model.images.values():
        cache.add_image(image)  # also to the graph
    for pair, matches in pairs.items():
        if len(matches) >= least:
            geometry = pycolmap.TwoViewGeometry()
            geometry.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
            geometry.inlier_matches = matches
            graph.add_two_view_geometry(*pair, geometry)
    graph.finalize()
    return cache
