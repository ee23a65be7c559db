import math
import runpy
import shutil
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from support.seen_points import seen
from support.synthetic_model import synthetic_places

from d2sfm.colmap import similarity
from d2sfm.database.pair_ids import pair_ids
from d2sfm.mapping.initial_pairs import InitialPair, initial_pairs
from d2sfm.mapping.one_run import MappingInput, Trial, incremental_options, map_once
from d2sfm.mapping.outcome import Outcome, Start
from d2sfm.mapping.quality import ModelStatistics
from d2sfm.mapping.reconstruct import read_input
from d2sfm.mapping.starts import best_of_starts, trial_of
from d2sfm.mapping.stopping import StoppingRule
from d2sfm.options import Mapper, ReconstructionOptions

mapping_options = partial(ReconstructionOptions, num_threads=1)  # so that a seed gives one model

PAIRS = [InitialPair(image_ids=image_ids) for image_ids in ((1, 2), (3, 4), (1, 4))]


def numbers(supported=7, agreement=100.0, error_px=1.0):
    sizes = {"images": 9, "points": 50, "points_of_three": 40, "observations": 200, "track_length": 4.0}
    return ModelStatistics(supported=supported, agreement=agreement, error_px=error_px, **sizes)


def start(best):
    return Start(seed=0, best=best, seconds=1.0)


def test_runs_take_the_initial_pairs_one_after_the_other():
    trials = [trial_of(number, 5, False, False, PAIRS) for number in range(6)]
    assert [trial.seed for trial in trials] == [5, 6, 7, 8, 9, 10]
    assert [trial.initial_pair for trial in trials] == [None, *PAIRS, None, None]
    assert not any(trial.is_cautious for trial in trials)


def test_caution_takes_turns_unless_all_shall_be_cautious():
    assert [trial_of(number, 0, True, False, PAIRS).is_cautious for number in range(4)] == [False, True, False, True]
    assert all(trial_of(number, 0, True, True, PAIRS).is_cautious for number in range(4))
    assert [trial_of(number, 0, False, True, PAIRS).is_cautious for number in range(2)] == [True, True]


def test_the_best_start_is_kept_and_of_equals_the_first():
    outcome = Outcome()
    model = pycolmap.Reconstruction()
    assert not outcome.add(start(None), [])
    assert outcome.kept is None
    first = start(numbers(supported=6, agreement=300.0))
    assert outcome.add(first, [model])
    assert not outcome.add(start(first.best), [model])
    assert outcome.kept is first
    more = start(numbers(supported=7, agreement=100.0))
    assert outcome.add(more, [model])
    assert not outcome.add(start(None), [])
    assert (outcome.kept, outcome.found, len(outcome.starts)) == (more, 3, 5)


@pytest.mark.parametrize(("agreement", "fruitless"), [(100.05, 1), (100.2, 0)])
def test_a_start_that_is_better_by_rounding_gains_nothing(agreement, fruitless):
    outcome = Outcome()
    for found in (100.0, agreement):
        assert outcome.add(start(numbers(agreement=found)), [pycolmap.Reconstruction()])
    assert outcome.fruitless == fruitless


@pytest.fixture(scope="module")
def two_places(tmp_path_factory):
    """(input, ids of each place's images): five and four images of two scenes that share nothing."""
    both = synthetic_places(tmp_path_factory.mktemp("places"), (5, 4))
    with pycolmap.Database.open(both) as merged:
        names = {image.image_id: image.name for image in merged.read_all_images()}
    ids = [{image_id for image_id, name in names.items() if name.startswith(f"{number}/")} for number in range(2)]
    return both, names, ids


def input_of(database, names, mapper=Mapper.INCREMENTAL, **changes):
    sizes = {"names": names, "connected": len(names)}
    return MappingInput(database=database, mapper=mapper, max_error_px=2.0, **sizes, **changes)


@pytest.mark.slow
def test_models_of_other_places_follow_the_kept_one(two_places, tmp_path, monkeypatch):
    database, names, (first, second) = two_places
    database = shutil.copy(database, tmp_path / "db.db")
    given = input_of(database, names)
    options = mapping_options(max_starts=3)
    found = best_of_starts(given, options)
    assert [set(model.reg_image_ids()) for model in found.models] == [first, second]
    # Also where each start gives a single model.
    monkeypatch.setattr("d2sfm.mapping.starts.map_once", lambda *arguments: map_once(*arguments)[:1])
    monkeypatch.setattr(
        "d2sfm.mapping.starts.initial_pairs",
        lambda *given, most: [p for p in initial_pairs(*given, most=99) if set(p.image_ids) <= second],
    )
    found = best_of_starts(given, options)
    assert [set(model.reg_image_ids()) for model in found.models] == [first, second]


@pytest.mark.slow
def test_the_rest_is_mapped_by_itself(two_places, tmp_path, monkeypatch, caplog):
    """Where no start begins in the second place, and where only two of its images are left."""
    database, names, (first, second) = two_places
    given = input_of(shutil.copy(database, tmp_path / "db.db"), names)

    def in_the_first(given, trial, on_image):
        of_all = len(given.names) == len(names)
        return [
            model for model in map_once(given, trial, on_image) if not of_all or set(model.reg_image_ids()) == first
        ]

    monkeypatch.setattr("d2sfm.mapping.starts.map_once", in_the_first)
    monkeypatch.setattr(
        "d2sfm.mapping.starts.initial_pairs",
        lambda *given, most: [p for p in initial_pairs(*given, most=99) if set(p.image_ids) <= first],
    )
    found = best_of_starts(given, mapping_options(max_starts=2))
    assert [set(model.reg_image_ids()) for model in found.models] == [first, second]
    assert [start.is_of_rest for start in found.starts] == [False] * (len(found.starts) - 1) + [True]
    assert found.starts[-1].label.startswith("seed 0, of the rest")
    assert not found.kept.is_of_rest
    with monkeypatch.context() as patched:
        patched.setattr(StoppingRule, "of_rest", lambda rule: StoppingRule(given, mapping_options(), end=0.0))
        found = best_of_starts(given, mapping_options(max_starts=2))
    assert [set(model.reg_image_ids()) for model in found.models] == [first]
    assert "not mapped by themselves, as the time was over: 4 images in 1 group" in caplog.text
    two = pair_ids(*np.array([(a, b) for a in second for b in sorted(second)[2:] if a != b]).T)
    found = best_of_starts(replace(given, left_out=np.unique(two)), mapping_options(max_starts=2))
    assert [set(model.reg_image_ids()) for model in found.models] == [first]
    assert not any(start.is_of_rest for start in found.starts)


@pytest.mark.slow
def test_a_camera_that_moves_ahead_is_mapped_and_one_that_turns_is_not(tmp_path):
    """COLMAP's own choice of pairs begins with neither."""
    centres = [np.array([0.1 * (number % 2), 0, 0.8 * number]) for number in range(5)]
    for name in ("ahead", "turned"):
        (tmp_path / name).mkdir()
    ahead = replace(seen(tmp_path / "ahead", centres), connected=5)
    outcome = best_of_starts(ahead, mapping_options(max_starts=2))
    assert outcome.starts[0].best is None
    assert outcome.kept.best.supported == 5
    found = np.array([image.projection_center() for _, image in sorted(outcome.models[0].images.items())])
    world_from_model = similarity(found, np.array(centres))
    assert np.abs([world_from_model * each for each in found] - np.array(centres)).max() < 0.02
    turned = replace(seen(tmp_path / "turned", [np.zeros(3)] * 5, [0, 8, 16, 24, 32]), connected=5)
    assert best_of_starts(turned, mapping_options(max_starts=2)).kept is None


def limits_of_starts(two_places, tmp_path, monkeypatch, connected, **options):
    """The most seconds of each start, as pycolmap is told; the first gives a model of five images."""
    database, names, _ = two_places
    database = shutil.copy(database, tmp_path / "db.db")
    limits = []

    def recorded(given, trial, on_image):
        limits.append(incremental_options(given, trial).max_runtime_seconds)
        return map_once(given, trial, on_image)

    monkeypatch.setattr("d2sfm.mapping.starts.map_once", recorded)
    given = replace(input_of(database, names), connected=connected)
    best_of_starts(given, mapping_options(max_starts=3, **options))
    assert len(limits) > 1
    return limits


@pytest.mark.parametrize("budget", [50.0, math.inf])
def test_every_run_stops_when_the_time_budget_ends(two_places, tmp_path, monkeypatch, budget):
    limits = limits_of_starts(two_places, tmp_path, monkeypatch, 9, time_budget=budget)
    assert all(0 < limit <= budget for limit in limits)
    assert limits == sorted(limits, reverse=True)


def test_without_a_budget_runs_are_whole_until_there_is_a_model_of_most_images(two_places, tmp_path, monkeypatch):
    first, *others = limits_of_starts(two_places, tmp_path, monkeypatch, 9)
    assert first == -1
    assert all(0 < limit <= 600 for limit in others)
    assert set(limits_of_starts(two_places, tmp_path, monkeypatch, 11)) == {-1}


@pytest.mark.parametrize(
    ("budget", "seconds", "supported", "ends"),
    [
        (None, 290, 90, False),
        (None, 310, 90, True),
        (None, 310, 40, False),  # of less than half of the images: as good as none
        (7200, 310, 90, False),
        (600, 610, 40, True),
    ],
)
def test_a_start_begins_where_there_is_time_for_a_whole_one(tmp_path, monkeypatch, budget, seconds, supported, ends):
    now = 1000.0
    monkeypatch.setattr("d2sfm.mapping.stopping.time.perf_counter", lambda: now)
    given = MappingInput(database=tmp_path, mapper=Mapper.INCREMENTAL, is_estimated=True, connected=100)
    rule, outcome = StoppingRule(given, mapping_options(time_budget=budget)), Outcome()
    outcome.add(Start(seed=0, best=numbers(supported=supported), seconds=seconds), [pycolmap.Reconstruction()])
    now += seconds
    assert rule.ends(outcome, 1, 5) is ends


@pytest.mark.parametrize(("budget", "of_rest", "ends"), [(None, False, False), (None, True, True), (600, False, True)])
def test_starts_continue_until_there_is_a_model(tmp_path, monkeypatch, budget, of_rest, ends):
    now = 1000.0
    monkeypatch.setattr("d2sfm.mapping.stopping.time.perf_counter", lambda: now)
    given = MappingInput(database=tmp_path, mapper=Mapper.INCREMENTAL, is_estimated=True, connected=100)
    rule = StoppingRule(given, mapping_options(time_budget=budget), now + 600 if of_rest else None)
    now += 700
    assert rule.ends(Outcome(), 1, 40) is ends
    assert rule.ends(Outcome(), 41, 40)


def test_a_stopped_first_start_is_told(two_places, tmp_path, monkeypatch, caplog):
    database, names, _ = two_places
    given = input_of(shutil.copy(database, tmp_path / "db.db"), names)
    part = map_once(given, Trial(seed=0), abs)[:1]

    def slow(given, trial, on_image):
        time.sleep(trial.most_seconds)
        return part

    monkeypatch.setattr("d2sfm.mapping.starts.map_once", slow)
    assert len(best_of_starts(given, mapping_options(time_budget=0.1)).starts) == 1
    assert (
        "stopped at the end of the time budget, with 5 of 9 images: a larger --time-budget may give more" in caplog.text
    )


@pytest.mark.slow
def test_the_time_budget_stops_the_first_start(tmp_path):
    program = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks/synthetic.py"), run_name="imported")
    program["write_synthetic"](tmp_path / "db.db", program["Settings"](images=80, points=40))
    given = read_input(tmp_path / "db.db", mapping_options())
    started = time.perf_counter()
    outcome = best_of_starts(given, mapping_options(time_budget=1))
    assert 1 <= time.perf_counter() - started < 20
    assert [start.seed for start in outcome.starts] == [0]
    assert outcome.kept is None or outcome.kept.best.images < 80


@pytest.mark.parametrize(
    ("mapper", "is_refined", "is_estimated", "cautious"),
    [
        (Mapper.INCREMENTAL, False, False, [False, False, False, False]),
        (Mapper.INCREMENTAL, False, True, [False, True, False, True]),
        (Mapper.INCREMENTAL, True, False, [True, True, False, True]),
        (Mapper.INCREMENTAL, True, True, [True, True, True, True]),
        (Mapper.GLOBAL, True, False, [False, False, False, False]),
        (Mapper.GLOBAL, True, True, [False, True, False, True]),
    ],
)
def test_where_runs_are_cautious(two_places, tmp_path, monkeypatch, mapper, is_refined, is_estimated, cautious):
    """Refined: all of the first min_starts where focal lengths are estimated, else the first; the global pipeline
    would hold distortion for good. Every run gives a model of one place, so that there are four of them."""
    database, names, _ = two_places
    database = shutil.copy(database, tmp_path / "db.db")
    trials, found = [], map_once(MappingInput(database=database, mapper=Mapper.INCREMENTAL), Trial(seed=0), abs)[:1]

    def recorded(given, trial, on_image):
        trials.append(trial)
        return [pycolmap.Reconstruction(model) for model in found]

    monkeypatch.setattr("d2sfm.mapping.starts.map_once", recorded)
    monkeypatch.setattr("d2sfm.mapping.starts.with_distortion", lambda *arguments: None)
    monkeypatch.setattr("d2sfm.mapping.starts.LEAST_IMAGES", 10)  # the rest has its own test
    given = input_of(database, names, mapper, is_refined=is_refined, is_estimated=is_estimated)
    options = mapping_options(min_starts=4, max_starts=4)
    best_of_starts(given, options)
    assert [trial.is_cautious for trial in trials] == cautious


def test_distortion_of_known_cameras_is_not_refined_afterwards(two_places, tmp_path):
    database, names, _ = two_places
    database = shutil.copy(database, tmp_path / "db.db")
    known = input_of(database, names, is_refined=True, constant_cameras=frozenset(range(1, 3)), all_constant=True)
    options = mapping_options(max_starts=1)
    outcome = best_of_starts(known, options)
    assert [start.way for start in outcome.starts] == ["cautious"]
    free = input_of(database, names, is_refined=True)
    outcome = best_of_starts(free, options)
    assert [start.label for start in outcome.starts] == [
        "seed 0, cautious",
        "seed 0, distortion refined",
        "seed 0, of the rest, distortion refined",
    ]


def test_distortion_is_refined_in_the_models_of_all_places(two_places, tmp_path):
    database, names, (first, second) = two_places
    database = shutil.copy(database, tmp_path / "db.db")
    with pycolmap.Database.open(database) as colmap:
        true = [camera.params[-1] for camera in colmap.read_all_cameras()]
        for camera in colmap.read_all_cameras():
            camera.params = [*camera.params[:-1], 0.0]
            colmap.update_camera(camera)
    models = best_of_starts(input_of(database, names, is_refined=True), mapping_options(max_starts=1)).models
    assert [set(model.reg_image_ids()) for model in models] == [first, second]
    for model in models:
        (camera_id,) = {model.images[image_id].camera_id for image_id in model.reg_image_ids()}
        assert model.cameras[camera_id].params[-1] == pytest.approx(true[camera_id - 1], abs=1e-4)


def test_only_the_largest_place_has_to_be_whole(two_places, tmp_path):
    database, _, (first, _) = two_places
    given = read_input(shutil.copy(database, tmp_path / "db.db"), mapping_options())
    assert given.connected == len(first)
    starts = best_of_starts(given, mapping_options(min_starts=1)).starts
    assert [start.is_of_rest for start in starts] == [False, True]  # the second refined the other place's distortion


@pytest.mark.parametrize(("budget", "is_over"), [(None, False), (600.0, True)])
def test_the_rest_has_time_of_its_own_unless_the_user_sets_it(tmp_path, monkeypatch, budget, is_over):
    now = 1000.0
    monkeypatch.setattr("d2sfm.mapping.stopping.time.perf_counter", lambda: now)
    rule = StoppingRule(MappingInput(database=tmp_path, mapper=Mapper.INCREMENTAL), mapping_options(time_budget=budget))
    now += 700
    assert rule.of_rest().is_over is is_over
