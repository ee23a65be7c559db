import threading
from dataclasses import replace

import numpy as np
import pycolmap
import pytest
import torch

from d2sfm.matching import tasks as pair_tasks
from d2sfm.matching.neighbours import mutual_nearest_neighbours
from d2sfm.matching.tasks import PairTask, run_pair, run_pairs
from d2sfm.matching.view import View
from d2sfm.options import MatchingOptions, VerificationOptions

CPU = MatchingOptions(device="cpu")
VERIFICATION = VerificationOptions(max_num_trials=200)


def plane_view(generator):
    """A view of 40 points that is moved by (5, 3) px from the next one, without noise."""
    camera = pycolmap.Camera(model="PINHOLE", width=640, height=480, params=[500, 500, 320, 240])
    keypoints = generator.uniform(20, 400, (40, 2)).astype(np.float32)
    return View(camera, keypoints), View(camera, keypoints + np.float32([5, 3]))


@pytest.fixture
def task():
    generator = np.random.default_rng(0)
    descriptors = torch.nn.functional.normalize(torch.from_numpy(generator.normal(size=(40, 512)).astype(np.float32)))
    return PairTask(pair=(3, 8), names=("a", "b"), descriptors=(descriptors, descriptors), views=plane_view(generator))


def test_a_pair_is_matched_and_verified(task):
    result = run_pair(task, CPU, VERIFICATION)
    assert result.pair == (3, 8)
    np.testing.assert_array_equal(result.matches, np.column_stack([range(40), range(40)]))
    assert len(result.geometry.inlier_matches) == 40
    assert result.matching_s > 0
    assert result.verification_s > 0


def test_matches_that_are_there_are_only_verified(task):
    there = np.column_stack([range(30), range(30)]).astype(np.uint32)
    result = run_pair(PairTask(pair=task.pair, names=task.names, matches=there, views=task.views), CPU, VERIFICATION)
    assert result.matches is there
    assert len(result.geometry.inlier_matches) == 30


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("is_there", [False, True])
def test_refuted_matches_stay_and_are_in_no_geometry(task, guided, is_there):
    refuted, options = np.array([[3, 3], [5, 6], [20, 20]], np.uint32), replace(CPU, guided=guided)
    there = np.column_stack([range(30), range(30)]).astype(np.uint32)
    of_there = {"descriptors": None, "matches": there, "similarities": np.ones(30, np.float16)} if is_there else {}
    result = run_pair(replace(task, refuted=refuted, max_error_px=4.0, **of_there), options, VERIFICATION)
    expected = range(30 if is_there else 40)
    assert result.matches.tolist() == [[k, k] for k in expected]
    assert result.geometry.inlier_matches.tolist() == [[k, k] for k in expected if k not in (3, 20)]


def test_without_verification_there_is_no_geometry(task):
    result = run_pair(PairTask(pair=task.pair, names=task.names, descriptors=task.descriptors), CPU, None)
    assert len(result.matches) == 40
    assert result.geometry is None


def many(task, count):
    return (PairTask(pair=(i, i + 1), names=task.names, descriptors=task.descriptors) for i in range(count))


@pytest.mark.parametrize("num_threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 30])
def test_results_come_in_the_order_of_the_tasks(task, count, num_threads):
    results = list(run_pairs(many(task, count), CPU, None, num_threads))
    assert [result.pair for result in results] == [(i, i + 1) for i in range(count)]
    for result in results:
        np.testing.assert_array_equal(result.matches, mutual_nearest_neighbours(*task.descriptors, CPU))


def test_tasks_are_drawn_as_they_are_needed(task):
    drawn = []
    tasks = (drawn.append(one.pair) or one for one in many(task, 50))
    results = run_pairs(tasks, CPU, None, 2)
    next(results)
    assert len(drawn) == 2 * pair_tasks.PAIRS_IN_FLIGHT
    results.close()


def test_threads_work_side_by_side_with_one_thread_of_torch_each(task, monkeypatch):
    both, seen = threading.Barrier(2, timeout=30), []

    def meet(*_):
        both.wait()  # breaks where one thread does all the work
        seen.append((threading.get_ident(), torch.get_num_threads()))
        return np.zeros((0, 2), np.uint32), np.zeros(0, np.float16)

    monkeypatch.setattr(pair_tasks, "neighbours_and_similarities", meet)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert len(list(run_pairs(many(task, 6), CPU, None, 2))) == 6
        assert len({thread for thread, _ in seen}) == 2
        assert {threads for _, threads in seen} == {1}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_an_error_ends_the_run_and_the_threads(task, monkeypatch):
    monkeypatch.setattr(pair_tasks, "neighbours_and_similarities", lambda *_: 1 / 0)
    threads = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        list(run_pairs(many(task, 20), CPU, None, 2))
    assert threading.active_count() == threads
