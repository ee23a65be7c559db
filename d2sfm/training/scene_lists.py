"""Lists of scenes, text files that people write."""

from pathlib import Path


def read_scene_list(path: Path | str) -> list[str]:
    """Names of scenes from a text file with one in a line, in its order; blank lines and lines with # are ignored.

    Raises FileNotFoundError if the file is missing, ValueError if it is not such a list: no scene, a scene twice, or a
    name that is not a plain folder name.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such list of scenes: {path}")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"expected a text file with a scene in each line, found {path}") from error
    scenes = [line for line in lines if line and not line.startswith("#")]
    for scene in scenes:
        if len(scene.split()) > 1 or not is_folder_name(scene):
            raise ValueError(f"expected the name of one scene in each line of {path}, found {scene!r}")
    repeated = sorted({scene for scene in scenes if scenes.count(scene) > 1})
    if repeated:
        raise ValueError(f"{path} lists scene {repeated[0]} more than once")
    if not scenes:
        raise ValueError(f"{path} lists no scene")
    return scenes


def is_folder_name(name: str) -> bool:
    """Whether a scene may have this name: that of a folder, without a path."""
    return Path(name).name == name and name not in ("", "..")
