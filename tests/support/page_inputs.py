"""Files that the commands of pages take, beside those of ``page_workspace``, written into the folder of the process."""

import json
import re
import shutil
from itertools import combinations
from pathlib import Path

import cv2
import h5py
import numpy as np
import pycolmap
from PIL import Image
from support.feature_records import write_as_hloc
from support.hard_pairs import write_hard_pairs, write_list
from support.helpers import textured_picture, write_plane_scene
from support.page_workspace import MAPPED, QUERY, SURVEYED, clicks, geographic, pose_of, surveyed, write_photograph
from support.pages import PAGES, blocks
from support.placed_model import write_csv
from support.plane_views import plane_views
from support.sequences import write_sequence
from support.small_map import camera
from support.small_scene import BOARDS, SIZE

from d2sfm.georeference.frames import Projected


def code(page: str, first: str) -> str:
    """What is on a page in a block, from the line that begins so on to a blank one."""
    [found] = [
        match[0]
        for block in blocks(PAGES[Path(page)])
        for match in re.finditer(rf"^{re.escape(first)}.*\n(?:.+\n)*", block.code, re.MULTILINE)
    ]
    return found


def write_masks() -> None:
    """A part of each photograph is out."""
    Path("masks").mkdir()
    mask = np.full(SIZE[::-1], 255, np.uint8)
    mask[:, :100] = 0
    for name in MAPPED:
        cv2.imwrite(f"masks/{name}.png", mask)


def write_image_list() -> None:
    Path("images.txt").write_text("".join(f"photos/{name}\n" for name in MAPPED))


def write_tables() -> None:
    """Of positions, and of control points with and without their places."""
    places = geographic([pose_of(name).inverse().translation for name in MAPPED])
    rows = [(name, *map(float, place)) for name, place in zip(MAPPED, places, strict=True)]
    write_csv(Path("drone.csv"), "name,latitude,longitude,altitude", rows)
    seen = [(point, name, *map(float, xy)) for point in SURVEYED for name, xy in clicks(point).items()]
    write_csv(Path("clicks.csv"), "point,name,x,y", seen)
    on_map = Projected(25832).from_geographic(geographic([surveyed(point) for point in SURVEYED]))
    world = {point: tuple(map(float, each)) for point, each in zip(SURVEYED, on_map, strict=True)}
    write_csv(Path("gcp.csv"), "point,name,x,y,easting,northing,height", [(*row, *world[row[0]]) for row in seen])


def write_query_cameras() -> None:
    words = (QUERY, camera().model_name, camera().width, camera().height, *camera().params.tolist())
    Path("cameras.txt").write_text(" ".join(map(str, words)) + "\n")


def write_other_features(file: str, size: int, poses: dict[str, pycolmap.Rigid3d] | None = None) -> None:
    """What another program wrote: exact keypoints with descriptors of that size, and matches.h5.

    poses: of the photographs, by name.
    """
    random, seen = np.random.default_rng(0), {}
    corners = [[(*low, z) for low in zip(x, y, strict=True)] for z, x, y in BOARDS]
    world = np.concatenate([random.uniform(low, high, (60, 3)) for low, high in corners])
    poses = poses or {name: pose_of(name) for name in MAPPED}
    for name, pose in poses.items():
        xy = camera().img_from_cam(pose * world)
        seen[name] = np.flatnonzero(((xy > 0) & (xy < SIZE)).all(axis=1))
        descriptors = random.normal(size=(size, len(seen[name]))).astype(np.float32)
        descriptors /= np.linalg.norm(descriptors, axis=0)
        write_as_hloc(Path(file), name, xy[seen[name]] - 0.5, (SIZE, SIZE), descriptors=descriptors)
    with h5py.File("matches.h5", "w") as matches:
        for a, b in combinations(poses, 2):
            places = {point: index for index, point in enumerate(seen[b])}
            matches[f"{a}/{b}/matches0"] = np.array([places.get(point, -1) for point in seen[a]], np.int16)


def write_textured(*names: str, size: tuple[int, int] = (96, 80)) -> None:
    """Small photographs of nothing in particular."""
    for number, name in enumerate(names):
        Path(name).parent.mkdir(exist_ok=True, parents=True)
        cv2.imwrite(name, textured_picture(number, size))


def write_several_cameras() -> None:
    """The page's table, and a photograph for each camera of it."""
    Path("cameras.toml").write_text(
        "\n".join(code("docs/collections.md", table) for table in ('["left/*"]', '["drone/', '["*/'))
    )
    write_textured("photos/left/a.jpg", size=(1920, 1080))
    write_textured("photos/drone/b.jpg")
    write_textured("photos/sub/old_c.jpg", size=SIZE)


def write_rig() -> None:
    """The page's rig, and what it saw from three places, in photos."""
    text = code("docs/collections.md", '[{"cameras": [')
    Path("rig.json").write_text(text)
    right = json.loads(text)[0]["cameras"][1]
    w, *xyz = right["cam_from_rig_rotation"]
    cam_from_rig = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([*xyz, w])), right["cam_from_rig_translation"])
    for number in range(3):
        rig_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(), [0.3 - 0.3 * number, 0.1 * (number % 2), 0])
        write_photograph(Path(f"photos/left/{number}.jpg"), rig_from_world)
        write_photograph(Path(f"photos/right/{number}.jpg"), cam_from_rig * rig_from_world)


def move_to_phone() -> None:
    """The photographs are in a phone's folders, some of them as HEIC."""
    from pillow_heif import register_heif_opener

    register_heif_opener()
    Path("photos").rename("DCIM")
    Path("more").mkdir()
    for name, to in (("d.jpg", "DCIM/d.heic"), ("e.jpg", "more/IMG_7.HEIC")):
        with Image.open(Path("DCIM", name)) as picture:
            picture.save(to, quality=95, exif=picture.getexif())
        Path("DCIM", name).unlink()


def write_dense() -> None:
    """A scene to train on, and what ``megadepth_utils.preprocess_scene`` would tell of it."""
    write_plane_scene(Path("dense"), views=2, size=(288, 264))
    Path("scene_info").mkdir()
    Path("dense/info/0000.npz").rename("scene_info/house.npz")


def write_published_sets() -> None:
    """Sequences and pairs in the published layouts, also those that are named on the page of evaluation."""
    views = plane_views(0, scale=1.0, count=2, size=(96, 72))
    for root, name in (("ROOT", "v_wall"), ("oxford_affine", "v_wall"), ("webcam", "i_mixed")):
        write_sequence(Path(root, name), views)
    shutil.copytree("ROOT", "hpatches-sequences-release")
    for name in code("docs/evaluation.md", "d2sfm evaluate hpatches hpatches-").split("--leave-out")[1].split():
        shutil.copytree("ROOT/v_wall", Path("hpatches-sequences-release", name))
    write_list(write_hard_pairs(Path("DIR"), ("A/near",))).rename("pairs.txt")
    for root in ("ROOT", "wxbs"):
        shutil.copytree("DIR", root, dirs_exist_ok=True)
