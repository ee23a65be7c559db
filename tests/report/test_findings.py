"""What a page says first, and how bad it finds it: the limits that docs/report.md tells."""

from dataclasses import replace

import numpy as np
import pytest
from support.reported import write_reported

from d2sfm.report.facts import gather
from d2sfm.report.findings import findings, summary, verdict
from d2sfm.report.lens import lens_residuals
from d2sfm.report.models import find_models
from d2sfm.report.pairs import Joint

SIZE = (640, 480)


@pytest.fixture(scope="module")
def fine(tmp_path_factory):
    """Facts of a model without faults: of all photographs, seen often, with a lens that is modelled."""
    reported = write_reported(tmp_path_factory.mktemp("found"))
    facts = gather(find_models(reported.model), reported.database)
    placed = [photograph for photograph in facts.photographs if photograph.model is not None]
    return with_lens(replace(facts, photographs=placed, joint=None, causes=()), bend_px=0.0)


def with_lens(facts, bend_px, **camera):
    random = np.random.default_rng(0)
    xy = random.uniform(0, SIZE, (3000, 2))
    lens = lens_residuals(xy, random.normal(0, 0.5, xy.shape) + bend_px * (xy - 240) / 320, SIZE)
    return replace(facts, cameras=[[replace(facts.cameras[0][0], lens=lens, **camera)]])


def said(facts, words):
    """Level of the finding with these words, and the verdict."""
    found = findings(facts)
    [level] = [finding.level for finding in found if words in str(finding.text)] or [None]
    return level, verdict(facts, found)[1]


def test_a_model_without_faults_looks_good(fine):
    assert said(fine, "All photographs have a place.") == ("good", "Looks good")
    assert said(fine, "The lens model is good enough") == ("good", "Looks good")
    assert said(fine, "The largest residual is")[0] == "info"


def test_a_lens_that_is_not_modelled(fine):
    words = "The lens model is not good enough for the camera: SIMPLE_RADIAL leaves"
    assert said(with_lens(fine, bend_px=0.7, kind="SIMPLE_RADIAL"), words) == ("warn", "Usable, with weak spots")


def test_a_model_is_not_told_beside_its_georeferenced_version(fine):
    [first] = fine.models
    smaller = replace(first, label="1")
    for models, count in (
        ([replace(first, label="georeferenced"), first], 0),
        ([replace(first, label="georeferenced"), first, smaller], 1),
        ([first, smaller], 1),
        ([first], 0),
    ):
        sentences = " ".join(map(str, summary(replace(fine, models=models))))
        assert ("Beside it: 1 smaller model, of 5 photographs." in sentences) == bool(count)


@pytest.mark.parametrize(("times", "level"), [(1.2, None), (1.3, "warn"), (0.7, "warn")])
def test_a_focal_length_far_from_exif(fine, times, level):
    camera = {"began_by": "EXIF", "began_px": 100.0, "focal_px": 100.0 * times}
    assert said(with_lens(fine, 0.0, **camera), "The focal length is far from what EXIF says")[0] == level


@pytest.mark.parametrize(("share", "level"), [(0.05, "warn"), (0.2, "info"), (0.5, None)])
def test_halves_that_hang_together_by_little(fine, share, level):
    joint = Joint([0, 1], [2, 3, 4], pairs=1, matches=20, share=share, bridges=[(1, 2, 20)])
    facts = replace(fine, joint=joint)
    assert said(facts, "2 and 3 photographs are the two halves that hang together least")[0] == level
    if level:
        [text] = [str(finding.text) for finding in findings(facts) if "halves" in finding.text]
        assert text.index("1.jpg") < text.index("2.jpg")


def test_photographs_with_few_points_and_missing_ones(fine):
    weak = [replace(fine.photographs[0], points=29), *fine.photographs[1:]]
    assert said(replace(fine, photographs=weak), "1 photograph with fewer than 30 points")[0] == "warn"
    gone = [replace(each, model=None, reason="") for each in fine.photographs]
    for count, words in ((2, "Incomplete"), (6, "Most photographs are missing")):
        more = [*fine.photographs, *(gone * 2)[:count]]
        assert said(replace(fine, photographs=more), "without a place")[1] == words
