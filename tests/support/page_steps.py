"""What is done in a copy of ``page_workspace`` before which command of a page, "" its first, to make the page true.

Pages go on from photographs, from what their earlier commands left, or from what readers have.
"""

import shutil
from functools import partial
from pathlib import Path

import pycolmap
from support.page_inputs import (
    code,
    move_to_phone,
    write_dense,
    write_image_list,
    write_masks,
    write_other_features,
    write_published_sets,
    write_query_cameras,
    write_rig,
    write_several_cameras,
    write_tables,
    write_textured,
)
from support.page_workspace import MAPPED, QUERY, pose_of, write_photograph, write_true_model
from support.sift_scene import make_sift_scene
from support.small_map import COUNT, centre_x
from support.small_map import write_true_model as write_model_in_row

from d2sfm.cli import main
from d2sfm.network.weights.load import BUNDLED

LATE = "e.jpg"  # a photograph that comes later


def in_turn(*steps):
    """A step: these."""

    def step() -> None:
        for each in steps:
            each()

    return step


def begin(*steps, database: str | None = None, without: str | None = None):
    """A step: the database is that one of ``LEFT_EARLIER``, or there is none; a folder is gone; then other steps."""

    def step() -> None:
        for path in Path().glob("db.db*"):
            path.unlink()
        if database:
            shutil.copy(database, "db.db")
        if without:
            shutil.rmtree(without)
        in_turn(*steps)()

    return step


def go_on(*lines: str):
    """A step: other commands before."""

    def step() -> None:
        for line in lines:
            assert main([*line.split(), "--quiet"]) == 0

    return step


def true_model(folder: str, *names: str):
    """A step: a model of the true cameras of these photographs."""
    return partial(write_true_model, Path(folder), names)


def put_weights(path: str) -> None:
    Path(path).parent.mkdir(exist_ok=True)
    shutil.copy(BUNDLED["d2_ots"], path)


def other_shares(line: str):
    """A step: the other shares of a command for the first of eight."""
    return go_on(*(f"{line} --shard {number}/8" for number in range(2, 9)))


def new_run() -> None:
    """The page's options, and photographs to leave out."""
    shutil.rmtree("photos-model")
    Path("mine.toml").write_text(code("docs/run.md", "quality ="))
    for name in MAPPED:
        write_photograph(Path("photos/left") / name, pose_of(name))


def number_a_point() -> None:
    """The point that is drawn has the page's number."""
    model = pycolmap.Reconstruction("sparse/0")
    point_id = max(model.points3D, key=lambda each: model.points3D[each].track.length())
    point = model.points3D[point_id]
    point = pycolmap.Point3D(xyz=point.xyz, track=pycolmap.Track(point.track.elements), color=point.color)
    model.delete_point3D(point_id)
    model.add_point3D_with_id(1234, point)
    model.write_binary("sparse/0")


def new_flight() -> None:
    shutil.rmtree("flight-model")
    Path("drone.toml").write_text(code("docs/from_a_drone.md", "[extract]"))


def take_exported() -> None:
    for name in ("features.h5", "matches.h5"):
        shutil.copy(f"exported/{name}", name)


def colmaps() -> None:
    """COLMAP's database of SIFT that leaves photographs apart, and the model of the others."""
    shutil.rmtree("photos")
    scene = make_sift_scene(Path("sift"))
    scene.images.rename("photos")
    scene.database.rename("db.db")
    go_on("reconstruct db.db --images photos")()


def features_in_row() -> None:
    """Another program's, of COLMAP's photographs."""
    places = {f"{number}.png": [-centre_x(number), 0, 0] for number in range(COUNT)}
    poses = {name: pycolmap.Rigid3d(pycolmap.Rotation3d(), place) for name, place in places.items()}
    write_other_features("superpoint.h5", 256, poses)


def two_databases() -> None:
    for path, without in (("a.db", "e.jpg"), ("b.db", "a.jpg")):
        shutil.copy("matched.db", path)
        go_on(f"remove {without} --database {path}")()


def more_photographs() -> None:
    """Those that are to be removed again, one of them by a list."""
    write_textured("photos/blurred.jpg", "photos/sub/dark.jpg", "photos/sub/other.jpg")
    Path("names.txt").write_text("sub/other.jpg\n")
    go_on("extract --images photos")()


def take_away() -> None:
    for name in ("blurred.jpg", "sub/dark.jpg", LATE):
        Path("photos", name).unlink()


def train_on(scene: str):
    """A step: a new output, and a list of this scene."""

    def step() -> None:
        shutil.rmtree("training")
        Path("scenes.txt").write_text(f"{scene}\n")

    return step


def evaluate() -> None:
    """The published sets, the true model and one with points, and poses of a query."""
    write_published_sets()
    shutil.rmtree("training")
    shutil.rmtree("sparse")
    write_true_model(Path("truth"), [*MAPPED, QUERY])
    go_on("triangulate --reference truth --output sparse")()
    Path("poses.txt").write_text(" ".join(map(str, (QUERY, 1, 0, 0, 0, *pose_of(QUERY).translation))) + "\n")


SUPERPOINT = partial(write_other_features, "superpoint.h5", 256)
IMPORT = "d2sfm import --images photos --features"
TRAIN = "d2sfm train --dataset-path MEGADEPTH --scene-info-path SCENE_INFO"

BEFORE = {
    "docs/photographs.md": {"": begin()},
    "docs/pairs.md": dict.fromkeys(("", "d2sfm match --pairs spatial"), begin(database="extracted.db")),
    "docs/masks.md": {"": begin(write_masks)},
    "docs/refinement.md": {"": begin(database="matched.db")},
    "docs/mapping.md": {"": true_model("model", *MAPPED)},
    "docs/run.md": {"d2sfm run photos --config mine.toml": new_run},
    "docs/growth.md": {
        "": go_on(f"remove {LATE} --model sparse/0"),
        "d2sfm extract --images photos": begin(
            true_model("model", *(name for name in MAPPED if name != LATE)), without="extended"
        ),
    },
    "docs/show.md": {"": number_a_point},
    "docs/orientation.md": {
        f"d2sfm extract --images photos{option}": begin()
        for option in ("", " --orientation auto", " --orientation none")
    },
    "docs/verification.md": {"": begin(true_model("model", *MAPPED), database="extracted.db")},
    "docs/weights.md": {"": begin(partial(put_weights, "d2_tf.pth"))},
    "docs/from_d2net.md": {"": begin(partial(put_weights, "checkpoints/d2.best.pth"))},
    "docs/georeference.md": {"": write_tables},
    "docs/localization.md": {
        "d2sfm extract photos --cache maps": begin(true_model("known_model", *MAPPED), write_query_cameras),
        "d2sfm evaluate localization poses.txt truth --queries queries --plot curves.png": true_model(
            "truth", *MAPPED, QUERY
        ),
    },
    "docs/files.md": {
        "": write_image_list,
        f"{IMPORT} features.h5 --matches matches.h5": begin(take_exported),
        f"{IMPORT} superpoint.h5 --matches matches.h5": begin(SUPERPOINT),
        "d2sfm merge a.db b.db --output all.db": two_databases,
    },
    "docs/from_hloc.md": {
        "": begin(partial(write_other_features, "features.h5", 512)),
        f"{IMPORT} superpoint.h5 --matches matches.h5": begin(SUPERPOINT),
        "d2sfm export": begin(database="matched.db"),
    },
    "docs/from_colmap.md": {"": begin(colmaps, partial(shutil.move, "db.db", "database.db"), without="sparse")},
    "docs/from_a_drone.md": {
        "": partial(shutil.move, "photos", "flight"),
        "d2sfm run flight --config drone.toml --georeference --undistort 3dgs": new_flight,
    },
    "docs/bridge.md": {
        "": begin(colmaps, without="sparse"),
        "d2sfm reconstruct db.db --images photos --extend sparse/0 --join sparse/1 --output extended": partial(
            write_model_in_row, Path("sparse/1"), (3, 4)
        ),
    },
    "docs/troubleshooting.md": {
        "": begin(colmaps, without="sparse"),
        f"{IMPORT} superpoint.h5 --matches matches.h5 --database other.db": features_in_row,
    },
    "docs/cluster.md": {
        "": begin(),
        "d2sfm pairs shards": other_shares("extract --images photos --output shards"),
        "d2sfm assemble shards --database db.db --descriptors": other_shares("match shards"),
    },
    "docs/collections.md": {
        "": more_photographs,
        "d2sfm remove --missing --dry-run": take_away,
        "d2sfm extract --images photos --cameras cameras.toml": begin(
            go_on("extract photos --camera-mode per-image"), write_several_cameras
        ),
        "d2sfm extract --images photos --rig-config rig.json": begin(write_rig, without="photos"),
        "d2sfm extract --images panoramas --camera-model EQUIRECTANGULAR --camera-mode single": begin(
            partial(write_textured, "panoramas/a.jpg", size=(240, 120))
        ),
    },
    "docs/commands.md": {"": in_turn(go_on("export --output ."), begin())},
    "docs/prepare.md": {"": begin(move_to_phone, without="photos-model")},
    "docs/training.md": {
        "": in_turn(write_dense, train_on("house")),
        "d2sfm train --dataset-path dense --scene-info-path scene_info --train-scenes scenes.txt": train_on("house"),
        f"{TRAIN} --train-scenes scenes.txt --num-epochs 2": train_on("0000"),
    },
    "docs/evaluation.md": {"": evaluate},
}
