"""What becomes of each format of pixels."""

import numpy as np
import pycolmap
import pytest
from PIL import ExifTags, Image, ImageCms

from d2sfm.options import PhotographOptions
from d2sfm.photographs.masks import Masks
from d2sfm.undistortion.pictures import Shot, write_picture

SIZE = (40, 30)


def shot(name: str, k: float = -0.1) -> Shot:
    camera = pycolmap.Camera(camera_id=1, model="SIMPLE_RADIAL", width=40, height=30, params=[40, 20, 15, k])
    target = pycolmap.Camera(camera_id=1, model="PINHOLE", width=40, height=30, params=[40, 40, 20, 15])
    return Shot(image_id=1, name=name, new_name=name, source=camera, target=target)


@pytest.fixture
def write(tmp_path):
    """Writes one photograph of the folder ``photos``, and returns the picture that comes out."""
    (tmp_path / "photos").mkdir()

    def write(name: str, k: float = -0.1, **options) -> Image.Image:
        limit = PhotographOptions.max_megapixels
        write_picture(shot(name, k), tmp_path / "photos", tmp_path / "out", Masks(), max_megapixels=limit, **options)
        return Image.open(tmp_path / "out/images" / name)

    return write


def flat(mode: str, value) -> Image.Image:
    return Image.new(mode, SIZE, value)


@pytest.mark.parametrize(
    ("name", "picture", "expected"),
    [
        ("a.jpg", flat("RGB", (10, 120, 240)), ("JPEG", (10, 120, 240))),
        ("a.jpg", flat("L", 77), ("JPEG", (77, 77, 77))),
        ("a.png", flat("RGB", (10, 120, 240)), ("PNG", (10, 120, 240))),
        ("a.png", flat("P", 3), ("PNG", None)),
        ("a.png", Image.fromarray(np.full(SIZE[::-1], 257 * 99, np.uint16)), ("PNG", (99, 99, 99))),
        ("a.tif", Image.fromarray(np.full(SIZE[::-1], 257 * 99, np.uint16)), ("TIFF", (99, 99, 99))),
        ("a.tif", flat("RGB", (10, 120, 240)), ("TIFF", (10, 120, 240))),
        ("a.bmp", flat("RGB", (10, 120, 240)), ("BMP", (10, 120, 240))),
        ("a.ppm", flat("RGB", (10, 120, 240)), ("PPM", (10, 120, 240))),
        ("a.tga", flat("RGB", (10, 120, 240)), ("TGA", (10, 120, 240))),
    ],
)
def test_a_format_stays_and_pixels_become_rgb_of_8_bits(write, tmp_path, name, picture, expected):
    picture.save(tmp_path / "photos" / name, quality=95)
    found = write(name)
    assert (found.format, found.mode, found.size) == (expected[0], "RGB", SIZE)
    if expected[1]:
        assert np.abs(np.asarray(found)[15, 20].astype(int) - expected[1]).max() <= 2


def test_the_content_decides_not_the_name(write, tmp_path):
    flat("RGB", 0).save(tmp_path / "photos/a.jpg", "PNG")
    assert write("a.jpg").format == "PNG"


def test_jpeg_keeps_its_quality(write, tmp_path):
    """Full colours and quality 95: a picture of noise comes out nearly as it was."""
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photos/a.jpg", quality=100, subsampling=0)
    shutterless = write("a.jpg", k=0.0)
    assert (tmp_path / "photos/a.jpg").read_bytes() == (tmp_path / "out/images/a.jpg").read_bytes()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3  # so that it is written again
    Image.fromarray(noise).save(tmp_path / "photos/a.jpg", quality=100, subsampling=0, exif=exif)
    anew = write("a.jpg", k=0.0)
    assert np.abs(np.asarray(anew, int) - np.asarray(shutterless, int)).mean() < 5
    assert anew.getexif()[ExifTags.Base.Orientation] == 1


def test_alpha_is_a_mask(write, tmp_path):
    pixels = np.full((*SIZE[::-1], 4), 200, np.uint8)
    pixels[:, :10, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "photos/a.png")
    assert write("a.png").mode == "RGB"
    mask = np.asarray(Image.open(tmp_path / "out/masks/a.png.png"))
    assert not mask[:, :7].any()
    assert mask[:, 13:].all()
    found = write("a.png", has_alpha=True)
    assert found.mode == "RGBA"
    assert (np.asarray(found)[..., 3] == mask).all()


def test_exif_stays_and_so_does_the_profile_of_colours(write, tmp_path):
    exif, profile = Image.Exif(), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif[ExifTags.Base.Model] = "Camera"
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N"}
    exif[ExifTags.Base.Orientation] = 8
    flat("RGB", 9).save(tmp_path / "photos/a.jpg", exif=exif, icc_profile=profile)
    found = write("a.jpg")
    assert found.getexif()[ExifTags.Base.Model] == "Camera"
    assert found.getexif().get_ifd(ExifTags.IFD.GPSInfo) == {ExifTags.GPS.GPSLatitudeRef: "N"}
    assert found.getexif()[ExifTags.Base.Orientation] == 1
    assert found.info["icc_profile"] == profile


def test_a_profile_of_other_colours_goes(write, tmp_path):
    flat("CMYK", (10, 20, 30, 40)).save(tmp_path / "photos/a.jpg", icc_profile=b"of CMYK")
    found = write("a.jpg", k=0.0)
    assert found.mode == "RGB"
    assert "icc_profile" not in found.info


def test_orientation_in_xmp_is_no_orientation_any_more(write, tmp_path):
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description tiff:Orientation="6" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"/></rdf:RDF></x:xmpmeta>'
    )
    flat("RGB", 9).save(tmp_path / "photos/a.jpg", xmp=xmp)
    assert write("a.jpg", k=0.0).getexif().get(ExifTags.Base.Orientation) == 1


def test_a_photograph_that_is_too_large_or_of_a_format_that_is_not_read(write, tmp_path):
    flat("RGB", 9).save(tmp_path / "photos/a.webp")
    with pytest.raises(ValueError, match="WebP is a format that COLMAP can't read: convert it"):
        write("a.webp")
    flat("RGB", 9).save(tmp_path / "photos/a.jpg")
    with pytest.raises(ValueError, match="--max-megapixels allows"):
        write_picture(shot("a.jpg"), tmp_path / "photos", tmp_path / "out", Masks(), max_megapixels=0.001)
