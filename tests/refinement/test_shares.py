"""Refinement by shares, each in a process of its own, ends as in one process, to the bit."""

import os
import shutil

import cv2
import numpy as np
import pytest
from support.database_contents import rows
from support.feature_database import say_verified
from support.helpers import textured_picture

from d2sfm.extraction.extract import extract_to_database
from d2sfm.matching.match import match_database
from d2sfm.options import RefinementOptions, VerificationOptions
from d2sfm.refinement.gather import gather_shares
from d2sfm.refinement.refine import refine_database
from d2sfm.refinement.shares import align_share

pytestmark = [pytest.mark.usefixtures("narrow_network", "one_thread"), pytest.mark.slow]

OPTIONS = RefinementOptions(device="cpu", precision="float32")
ALL = (
    *("keypoints", "descriptors", "d2sfm_features", "d2sfm_original_keypoints", "d2sfm_keypoint_sigmas"),
    *("matches", "two_view_geometries", "d2sfm_similarities", "d2sfm_refined_parts", "d2sfm_settings"),
)
STAGES = ["features", "grey values", "continuation"]


@pytest.fixture(scope="module")
def matched(tmp_path_factory, narrow_network, one_thread):
    """Four overlapping cut-outs of one picture; geometries are said, as those of such small pictures are refused."""
    folder = tmp_path_factory.mktemp("matched")
    (folder / "photos").mkdir()
    whole = textured_picture(3, (344, 240))
    for number in range(4):
        cv2.imwrite(str(folder / "photos" / f"{number}.png"), whole[:, 8 * number : 8 * number + 320])
    extract_to_database(folder / "db.db", folder / "photos")
    match_database(folder / "db.db", verification=VerificationOptions())
    say_verified(folder / "db.db", step=1)
    return folder


@pytest.fixture(scope="module")
def refined(matched, tmp_path_factory):
    """The same, refined in one process."""
    folder = shutil.copytree(matched, tmp_path_factory.mktemp("refined") / "project")
    print(refine_database(folder / "db.db", folder / "photos", options=OPTIONS))
    return folder


@pytest.fixture
def project(matched, tmp_path):
    return shutil.copytree(matched, tmp_path / "project")


def gather(project, options=OPTIONS, **named):
    return gather_shares(project / "db.db", project / "shares", project / "photos", options=options, **named)


def align(project, number, of, options=OPTIONS):
    return align_share(project / "shares", number, of, options=options)


@pytest.mark.parametrize("of", [1, 3, 7])
def test_any_number_of_shares_ends_as_one_process(project, refined, of):
    before = rows(project / "db.db", *ALL)
    for stage in STAGES:
        state = gather(project, of=of)
        assert (state.stage, state.is_begun, state.refinement) == (stage, False, None)
        summaries = [align(project, number, of) for number in state.missing]
        assert {each.stage for each in summaries} == {stage}
        assert sum(each.aligned for each in summaries) == state.keypoints > 0
        assert rows(project / "db.db", *ALL) == before
    found = gather(project)
    assert rows(project / "db.db", *ALL) == rows(refined / "db.db", *ALL)
    assert found.refinement.continued > 0
    assert list((project / "shares").iterdir()) == []
