"""Refinement by shares, each in a process of its own, ends as in one process, to the bit."""

import json
import shutil
import time
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest
from support.database_contents import rows
from support.feature_database import say_verified
from support.helpers import textured_picture
from support.narrow_network import begin_with_narrow_network
from support.runs import start

from d2sfm.extraction.extract import extract_to_database
from d2sfm.matching.match import match_database
from d2sfm.options import RefinementOptions
from d2sfm.refinement import gather as gather_module
from d2sfm.refinement import pieces as pieces_module
from d2sfm.refinement import stages as stages_module
from d2sfm.refinement.gather import gather_shares
from d2sfm.refinement.grey import GreyAdjustment
from d2sfm.refinement.one_round import read_stages
from d2sfm.refinement.refine import refine_database
from d2sfm.refinement.schedule import schedule
from d2sfm.refinement.shares import align_share
from d2sfm.text import counted

pytestmark = [pytest.mark.usefixtures("narrow_network", "one_thread"), pytest.mark.slow]

OPTIONS = RefinementOptions(device="cpu", precision="float32")
ALL = (
    *("keypoints", "descriptors", "d2sfm_features", "d2sfm_original_keypoints", "d2sfm_keypoint_sigmas"),
    *("matches", "two_view_geometries", "d2sfm_similarities", "d2sfm_refined_parts", "d2sfm_settings"),
)
STAGES = ["features", "grey values", "continuation"]
COUNT = 4


def write_photographs(folder, numbers):
    """Overlapping cut-outs of one picture, so large that tracks go on."""
    folder.mkdir(exist_ok=True)
    whole = textured_picture(3, (320 + 8 * COUNT, 240))
    for number in numbers:
        cv2.imwrite(str(folder / f"{number}.png"), whole[:, 8 * number : 8 * number + 320])


def take_in(project):
    """Extract and match what is new; geometries are said, so that all matches are in tracks."""
    extract_to_database(project / "db.db", project / "photos")
    match_database(project / "db.db", verification=None)
    say_verified(project / "db.db", step=1)


@pytest.fixture(scope="module")
def matched(tmp_path_factory, narrow_network, one_thread):
    folder = tmp_path_factory.mktemp("matched")
    write_photographs(folder / "photos", range(COUNT))
    take_in(folder)
    return folder


@pytest.fixture(scope="module")
def refined(matched, tmp_path_factory):
    """The same, refined in one process."""
    folder = shutil.copytree(matched, tmp_path_factory.mktemp("refined") / "project")
    assert refine_database(folder / "db.db", folder / "photos", options=OPTIONS).continued > 0
    return folder


@pytest.fixture
def project(matched, tmp_path):
    return shutil.copytree(matched, tmp_path / "project")


def gather(project, options=OPTIONS, **named):
    return gather_shares(project / "db.db", project / "shares", project / "photos", options=options, **named)


def align(project, number, of, options=OPTIONS):
    return align_share(project / "shares", number, of, options=options)


def finish(project, of=2, options=OPTIONS):
    """Go on from any state until all is refined; returns which stages were next."""
    stages = []
    while (state := gather(project, options, of=of)).refinement is None:
        stages.append(state.stage)
        for number in state.missing:
            align(project, number, of, options)
    return stages


def is_as_in_one_process(project, refined):
    return rows(project / "db.db", *ALL) == rows(refined / "db.db", *ALL)


@pytest.mark.parametrize("of", [1, 3, 7])
def test_any_number_of_shares_ends_as_one_process(project, refined, of, monkeypatch):
    before = rows(project / "db.db", *ALL)
    read = []
    monkeypatch.setattr(gather_module, "read_stages", lambda *given: read.append(given) or read_stages(*given))
    for stage in STAGES:
        state = gather(project, of=of)
        assert (state.stage, state.is_begun, state.refinement) == (stage, False, None)
        summaries = [align(project, number, of) for number in state.missing]
        assert {each.stage for each in summaries} == {stage}
        assert sum(each.aligned for each in summaries) == state.keypoints > 0
        assert rows(project / "db.db", *ALL) == before
    assert len(read) == 1  # for the plan
    pieces = sorted(path for path in (project / "shares").iterdir() if path.name != "plan.npz")
    for path in pieces:
        with np.load(path) as archive:
            arrays = dict(archive)
        assert 0 < arrays["seconds"] < 100
        np.savez(path, **arrays | {"seconds": 1000.0})
    found = gather(project)
    of_features = sum(path.name.startswith("features") for path in pieces)
    assert found.refinement.alignment_s // 1000 == of_features > 0
    assert found.refinement.grey_s // 1000 == len(pieces) - of_features > 0
    assert is_as_in_one_process(project, refined)
    assert (len(read), found.refinement.continued > 0) == (2, True)
    assert list((project / "shares").iterdir()) == []
    assert gather(project).refinement.images == 0
    assert is_as_in_one_process(project, refined)


def test_shares_open_no_database_and_what_is_there_is_not_done_again(project, refined, tmp_path):
    assert gather(project).missing == []
    (project / "db.db").rename(tmp_path / "away.db")
    for stage in STAGES:  # the first ones of a stage find that the one before is whole
        for number in (3, 1, 2):
            assert align(project, number, 3).stage == stage
    again = align(project, 2, 3)
    assert (again.stage, again.aligned) == ("continuation", 0)
    assert again.already_there > 0
    told = counted(again.already_there, "keypoint")
    assert f"share 2/3 of the stage of continuation: all there already, {told}" in str(again)
    (tmp_path / "away.db").rename(project / "db.db")
    assert gather(project).refinement.images == COUNT
    assert is_as_in_one_process(project, refined)


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-100])


def changed(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def of_another_run(path):
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **arrays | {"fingerprint": np.array("another"), "values": np.zeros_like(arrays["values"])})


def test_pieces_that_can_not_be_used_are_made_anew(project, refined, caplog):
    gather(project)
    whole = [align(project, number, 3).aligned for number in (1, 2, 3)]
    path = project / "shares" / "features-2-of-3.npz"
    reasons = {
        cut_short: "damaged: File is not a zip",
        changed: "damaged: ",
        of_another_run: "of other matches or options",
    }
    for spoil, reason in reasons.items():
        caplog.clear()
        spoil(path)
        state = gather(project)
        assert (state.is_begun, state.of, state.missing, state.keypoints) == (True, 3, [2], whole[1])
        assert f"stage 1 (features) lacks {whole[1]} keypoints of share 2/3: d2sfm refine" in str(state)
        assert caplog.text.count(f"features-2-of-3.npz is {reason}") == 1
        assert [align(project, number, 3).aligned for number in (1, 2)] == [0, whole[1]]
    assert finish(project) == STAGES[1:]
    assert is_as_in_one_process(project, refined)


def test_a_stage_goes_on_with_another_number_of_shares(project, refined):
    total = gather(project).keypoints
    done = align(project, 1, 3).aligned
    done += sum(align(project, number, 2).aligned for number in (2, 1))
    assert done == total
    assert finish(project) == STAGES[1:]
    assert is_as_in_one_process(project, refined)


@pytest.mark.parametrize("stage", [0, 1])
def test_shares_go_on_where_one_process_was_stopped_and_the_other_way_round(project, refined, monkeypatch, stage):
    monkeypatch.setattr(stages_module, "schedule", partial(schedule, part_nodes=50, most_tracks=50))
    move, moved = GreyAdjustment.move, []

    def stop_at_the_second(adjustment, part, on_nodes):
        if moved:
            raise KeyboardInterrupt
        moved.append(len(part.nodes))
        return move(adjustment, part, on_nodes)

    with monkeypatch.context() as patch:
        patch.setattr(GreyAdjustment, "move", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            refine_database(project / "db.db", project / "photos", options=OPTIONS)
    state = gather(project, of=2)
    assert state.stage == "grey values"
    assert sum(align(project, number, 2).aligned for number in (1, 2)) == state.keypoints
    if stage:
        refine_database(project / "db.db", project / "photos", options=OPTIONS)
    else:
        assert finish(project) == ["continuation"]
    assert is_as_in_one_process(project, refined)


def test_each_round_takes_a_plan_of_its_own(project, refined, caplog):
    two = replace(OPTIONS, rounds=2)
    assert finish(project, options=two) == 2 * STAGES
    assert "aligned again" not in caplog.text
    refine_database(shutil.copytree(refined, project / "one") / "db.db", project / "photos", options=two)
    assert is_as_in_one_process(project, project / "one")


def test_images_that_come_later_are_aligned_by_shares_too(refined, tmp_path):
    one = shutil.copytree(refined, tmp_path / "one")
    write_photographs(one / "photos", [COUNT])
    take_in(one)
    shares = shutil.copytree(one, tmp_path / "shares")
    summary = refine_database(one / "db.db", one / "photos", options=OPTIONS)
    assert (summary.images, summary.moved > 0) == (1, True)
    assert finish(shares)[:2] == STAGES[:2]
    assert is_as_in_one_process(shares, one)


def test_stages_that_are_left_out_have_no_shares(project, tmp_path):
    options = replace(OPTIONS, grey=False)
    one = shutil.copytree(project, tmp_path / "one")
    refine_database(one / "db.db", one / "photos", options=options)
    gather(project, options)
    for number in (1, 2):
        align(project, number, 2, options)
    assert "all stages are whole" in str(align(project, 1, 2, options))
    assert gather(project, options).refinement.exact is None
    assert is_as_in_one_process(project, one)


def test_a_photograph_that_is_back_before_the_end_is_refined_too(project, refined):
    photograph = project / "photos" / "2.png"
    photograph.rename(project / "2.png")
    for stage in STAGES:
        assert gather(project).stage == stage
        align(project, 1, 1)
    (project / "2.png").rename(photograph)
    assert finish(project) == STAGES
    assert is_as_in_one_process(project, refined)


def test_a_plan_of_other_options_or_none_is_told_and_one_of_other_matches_is_replaced(project, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no plan .*plan\.npz: d2sfm refine --database FILE --parts .* makes"):
        align(project, 1, 2)
    gather(project)
    differing = "with grey True, continue True, but this run asks for grey False, continue False"
    with pytest.raises(ValueError, match=rf"plan\.npz was made {differing}: give all shares the same options"):
        align(project, 1, 2, replace(OPTIONS, grey=False))
    with pytest.raises(FileNotFoundError, match=r"no folder of photographs .*nowhere: give --images"):
        align_share(project / "shares", 1, 2, project / "nowhere", options=OPTIONS)
    align(project, 1, 2)
    say_verified(project / "db.db", step=2)
    one = shutil.copytree(project, tmp_path / "one")
    refine_database(one / "db.db", one / "photos", options=OPTIONS)
    assert finish(project) == STAGES
    assert is_as_in_one_process(project, one)
    gather_shares(one / "db.db", project / "shares", one / "photos", options=replace(OPTIONS, rounds=2))
    cut_short(project / "shares" / "plan.npz")
    with pytest.raises(ValueError, match=r"plan\.npz is damaged"):
        align(project, 1, 2)


def wait_in_the_middle(weights, mark):
    """Of writing a piece."""
    begin_with_narrow_network(weights)

    def savez(stream, **arrays):
        stream.write(b"half of it")
        stream.flush()
        mark.touch()
        time.sleep(60)

    pieces_module.np.savez = savez


def test_a_share_that_is_killed_leaves_no_piece_and_runs_again(project, refined, narrow_weights, tmp_path):
    gather(project)
    align(project, 1, 2)
    command = ["refine", "--parts", project / "shares", "--shard", "2/2", "--device", "cpu", "--precision", "float32"]
    process = start(command, partial(wait_in_the_middle, narrow_weights, tmp_path / "mark"))
    while process.is_alive() and not (tmp_path / "mark").exists():
        time.sleep(0.01)
    process.kill()
    process.join()
    assert {path.name for path in (project / "shares").glob("[!.]*")} == {"plan.npz", "features-1-of-2.npz"}
    assert gather(project).missing == [2]
    assert finish(project) == STAGES
    assert is_as_in_one_process(project, refined)


@pytest.mark.parametrize("change", [lambda about: about.pop("state"), lambda about: about["images"][0].update(new=1)])
def test_a_plan_of_another_version_is_made_anew(project, change):
    before = gather(project)
    path = project / "shares" / "plan.npz"
    arrays = dict(np.load(path))
    about = json.loads(arrays["about"].tobytes())
    change(about)
    np.savez(path, **arrays | {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)})
    with pytest.raises(ValueError, match=r"plan\.npz is of another version of d2sfm: d2sfm refine --parts .* makes a"):
        align(project, 1, 2)
    assert gather(project) == before
    assert align(project, 1, 2).aligned > 0
