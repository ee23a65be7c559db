"""What phones and cameras leave: HEIC, camera raw, videos. Small, and of one picture that shows how it is turned."""

import struct
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

WIDTH, HEIGHT = 96, 64
RED, BLUE, GREY = (220, 40, 40), (40, 40, 220), (60, 60, 60)


def upright_picture() -> np.ndarray:
    """[H, W, 3] uint8: red at the top left, blue at the right of the bottom."""
    pixels = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    pixels[:24, :32] = RED
    pixels[40:, 72:] = BLUE
    return pixels


def require_upright(pixels: np.ndarray) -> None:
    """Red is at the top left and blue at the bottom right, by which channel is the strongest."""
    assert pixels.shape[:2] == (HEIGHT, WIDTH)
    kind = np.where(np.ptp(pixels, axis=2) > 60, pixels.argmax(axis=2), -1)
    assert (kind[2:22, 2:30] == 0).all()
    assert (kind[42:62, 74:94] == 2).all()
    assert (kind[2:22, 34:] == -1).all()


def exif_of(orientation: int | None = None, focal_35mm: int = 26, maker_note: bytes = b"") -> Image.Exif:
    """EXIF of a phone's camera, taken in Munich."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Maker", "Phone"
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.FocalLengthIn35mmFilm: focal_35mm, ExifTags.Base.MakerNote: maker_note}
    exif[ExifTags.IFD.GPSInfo] = {1: "N", 2: (48.0, 8.0, 0.0), 3: "E", 4: (11.0, 34.0, 0.0)}
    return exif


def dng(pixels: np.ndarray, orientation: int) -> bytes:
    """A DNG file of a Bayer sensor, red first, that has seen these pixels, [H, W, 3] uint8, and EXIF as above."""
    height, width = pixels.shape[:2]
    sensor = np.empty((height, width), np.uint16)
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        sensor[row::2, column::2] = pixels[row::2, column::2, channel].astype(np.uint16) * 16
    exif, one = exif_of(), IFDRational(1)
    tags = {  # type and value of each
        254: (4, 0),
        256: (4, width),
        257: (4, height),
        258: (3, 16),
        259: (3, 1),
        262: (3, 32803),  # a mosaic of colours
        271: (2, "Maker"),
        272: (2, "Camera"),
        273: (4, 0),  # where the pixels are: Pillow adds the length of all tags
        274: (3, orientation),
        277: (3, 1),
        278: (4, height),
        279: (4, sensor.nbytes),
        33421: (3, (2, 2)),
        33422: (1, b"\x00\x01\x01\x02"),
        34665: (4, exif[ExifTags.IFD.Exif]),
        34853: (4, exif[ExifTags.IFD.GPSInfo]),
        50706: (1, b"\x01\x04\x00\x00"),  # version of DNG
        50708: (2, "Maker Camera"),
        50717: (3, 4095),  # white
        50721: (10, tuple(IFDRational(value) for value in np.eye(3, dtype=int).ravel().tolist())),  # colours are XYZ
        50728: (5, (one, one, one)),  # white balance
    }
    directory = ImageFileDirectory_v2()
    for tag, (kind, value) in tags.items():
        directory.tagtype[tag] = kind
        directory[tag] = value
    return b"II*\0" + struct.pack("<I", 8) + directory.tobytes(8) + sensor.tobytes()


def write_video(path: Path, frames: list[np.ndarray], rate: int = 10, turned: dict | None = None) -> Path:
    """A video, H.264, by PyAV. frames: [H, W, 3] uint8 each; turned: how it is to be shown, as of set_display_rotation
    (degrees counter-clockwise)."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "10"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if turned is not None:
            stream.set_display_rotation(**turned)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path
