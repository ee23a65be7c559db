"""Puts materials and ornaments together into textured walls, boxes and roofs of sizes in metres."""

from collections.abc import Callable
from functools import partial

import numpy as np

from d2sfm.demo import ornaments, textures
from d2sfm.demo.scene import Quad, box

Material = Callable[[np.random.Generator, textures.Shape, float], np.ndarray]
Decoration = Callable[[np.ndarray], np.ndarray]  # a wall, [h, w, 4] float32: RGB and glow, with something on it
SIDES = ("front", "right", "back", "left", "top")
LIT_WINDOWS = 0.4  # share of the windows that are lit at night


class Builder:
    """Makes textures of ``scale`` texels for a metre, each from fresh random numbers of one generator."""

    def __init__(self, rng: np.random.Generator, scale: float):
        self.rng, self.scale = rng, scale
        self.evening = rng.spawn(1)[0]  # who is at home: draws nothing of the generator that textures are made from

    def shape(self, width_m: float, height_m: float) -> textures.Shape:
        """(height, width) in texels."""
        return max(2, round(height_m * self.scale)), max(2, round(width_m * self.scale))

    def quad(self, origin, edge_u, edge_v, material: Material) -> Quad:
        """A rectangle of a material (see ``scene.Quad`` for the corner and the edges)."""
        shape = self.shape(np.linalg.norm(edge_u), np.linalg.norm(edge_v))
        return Quad(origin, edge_u, edge_v, textures.finish(material(self.rng, shape, self.scale)))

    def box(
        self,
        centre_xy: tuple[float, float],
        size_m: tuple[float, float, float],
        material: Material,
        top: Material | None = None,
        bottom_m: float = 0.0,
        turn_deg: float = 0.0,
        **decorations: Decoration,
    ) -> list[Quad]:
        """A box of one material, its top of another where one is given.

        decorations: for a side by its name (front, right, back, left, top) what is put on it.
        """
        width, depth, height = size_m
        faces = [(width, height), (depth, height), (width, height), (depth, height), (width, depth)]
        sides = []
        for name, face in zip(SIDES, faces, strict=True):
            chosen = top if name == "top" and top else material
            image = chosen(self.rng, self.shape(*face), self.scale)
            if name in decorations:
                image = decorations[name](np.dstack([image, np.zeros(image.shape[:2], np.float32)]))
            sides.append(textures.finish(image))
        return box(centre_xy, size_m, sides, bottom_m=bottom_m, turn_deg=turn_deg)

    def put(
        self, wall: np.ndarray, draw: Callable, left_m: float, bottom_m: float, width_m: float, height_m: float
    ) -> np.ndarray:
        """The wall with an ornament that ``draw(rng, shape)`` makes; bottom_m counts from the wall's lower edge."""
        patch = draw(self.rng, self.shape(width_m, height_m))
        top = wall.shape[0] - round(bottom_m * self.scale) - patch.shape[0]
        return ornaments.pasted(wall, patch, round(left_m * self.scale), top)

    def sign(self, wall: np.ndarray, text: str, bottom_m: float, height_m: float, colour, ink) -> np.ndarray:
        """The wall with a board with a word across it."""
        width_m = wall.shape[1] / self.scale
        board = partial(ornaments.sign, text=text, colour=colour, ink=ink)
        return self.put(wall, board, 0.06 * width_m, bottom_m, 0.88 * width_m, height_m)

    def posters(self, wall: np.ndarray, count: int, low_m: float, high_m: float) -> np.ndarray:
        """The wall with posters, one over the other, their lower edges between two heights."""
        width_m = wall.shape[1] / self.scale
        for _ in range(count):
            width, height = self.rng.uniform(0.4, 0.75), self.rng.uniform(0.5, 0.95)
            left = self.rng.uniform(-0.1, max(0.0, width_m - width) + 0.1)
            wall = self.put(wall, ornaments.poster, left, self.rng.uniform(low_m, high_m), width, height)
        return wall

    def windows(
        self, wall: np.ndarray, columns: int, sills_m: list[float], size_m: tuple[float, float], frame=(238, 234, 222)
    ) -> np.ndarray:
        """The wall with a row of windows at each height of a sill, with lintels and sills of stone."""
        width, height = size_m
        pitch = wall.shape[1] / self.scale / columns
        stone = partial(textures.ashlar, scale=self.scale, colour=(222, 210, 184))

        def window(rng, shape):
            picture = ornaments.window(rng, shape, frame)
            is_lit = self.evening.uniform() < LIT_WINDOWS
            picture[picture[..., 3] > 0, 3] = self.evening.integers(90, 256) if is_lit else 1
            return picture

        for sill in sills_m:
            for column in range(columns):
                left = pitch * (column + 0.5) - width / 2 + self.rng.uniform(-0.06, 0.06)
                for bottom, thick in ((sill - 0.12, 0.12), (sill + height, 0.2)):
                    wall = self.put(wall, stone, left - 0.12, bottom, width + 0.24, thick)
                wall = self.put(wall, window, left, sill, width, height)
        return wall

    def roof(
        self,
        centre_xy: tuple[float, float],
        size_m: tuple[float, float, float],
        bottom_m: float,
        turn_deg: float,
        tiles: Material,
        ends: Material,
    ) -> list[Quad]:
        """A slope of tiles that rises from the front, between two gable walls; size_m: width, depth, rise."""
        width, depth, rise = size_m
        c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
        x, y = np.array([c, s, 0]), np.array([-s, c, 0])
        centre = np.array([*centre_xy, bottom_m])
        ridge = centre - width / 2 * x + 0.2 * depth * y + (0, 0, rise)
        slope = self.quad(ridge, width * x, -0.7 * depth * y - (0, 0, rise), tiles)
        walls = []
        for side in (-1, 1):
            end = centre + side * (width / 2) * x
            for part, height in ((0.98, 0.5), (0.62, 1.05)):  # steps, as on many old gables
                walls += self.box(end[:2], (0.36, part * depth, height * rise), ends, None, bottom_m, turn_deg)
        return [slope, *walls]
