"""Any sequence of commands leaves a database whole, also where photographs come, change and go between them."""

import re
import shutil
from functools import partial
from random import Random

import cv2
import numpy as np
import pytest
from support.all_tests import ALL_TESTS
from support.database_contents import require_whole, rows
from support.feature_database import say_verified
from support.helpers import textured_picture

from d2sfm.database import FeatureStore
from d2sfm.exchange.remove import remove_images
from d2sfm.extraction.extract import extract_to_database
from d2sfm.matching.match import match_database
from d2sfm.options import MatchingOptions, RefinementOptions, VerificationOptions
from d2sfm.refinement.gather import gather_shares
from d2sfm.refinement.refine import refine_database, restore_database
from d2sfm.refinement.shares import align_share

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("narrow_network", "one_thread")]

OPTIONS = RefinementOptions(device="cpu", precision="float32")
PLACES, STEPS = 5, 14
OF_REFINEMENT = ("d2sfm_original_keypoints", "d2sfm_keypoint_sigmas", "d2sfm_refuted_matches")
REFUSALS = (
    r"was refined (before|in 2 rounds)|lacks|no verified pairs|agree on no geometry|are not those of the features"
)


class Project:
    """A folder of photographs and their database, and what may happen to them."""

    def __init__(self, folder, random):
        self.database, self.photographs, self.away = (folder / name for name in ("db.db", "photographs", "away"))
        self.shares, self.random = folder / "shares", random
        self.photographs.mkdir()
        self.away.mkdir()
        self.whole = textured_picture(3, (320 + 8 * PLACES, 240))
        for place in range(3):
            self.write(place)
        self.take_in()

    def write(self, place, brighter=0):
        picture = self.whole[:, 8 * place : 8 * place + 320].astype(int) + brighter
        cv2.imwrite(str(self.photographs / f"{place}.png"), np.clip(picture, 0, 255).astype(np.uint8))

    def match(self, **options):
        """Geometries are said, as those of such small pictures are refused."""
        of_matching = MatchingOptions(device="cpu", guided=options.pop("guided", False))
        match_database(self.database, options=of_matching, verification=VerificationOptions(), **options)
        say_verified(self.database, step=1)

    def take_in(self, **options):
        extract_to_database(self.database, self.photographs, **options)
        self.match()

    def refine(self, rounds=1, **options):
        of_refinement = RefinementOptions(device="cpu", precision="float32", rounds=rounds)
        refine_database(self.database, self.photographs, options=of_refinement, **options)
        say_verified(self.database, step=1)

    def refine_by_shares(self):
        while True:
            state = gather_shares(self.database, self.shares, self.photographs, options=OPTIONS, of=2)
            if state.refinement is not None:
                break
            for number in state.missing:
                align_share(self.shares, number, 2, options=OPTIONS)
        say_verified(self.database, step=1)

    def restore(self):
        restore_database(self.database)
        say_verified(self.database, step=1)
        assert not any(rows(self.database, *OF_REFINEMENT).values())

    def all_are_there(self):
        for photograph in self.away.iterdir():
            shutil.move(photograph, self.photographs / photograph.name)

    def one_is_missing(self):
        self.all_are_there()
        shutil.move(self.random.choice(sorted(self.photographs.iterdir())), self.away)

    def one_comes(self):
        self.all_are_there()
        self.write(self.random.randrange(PLACES))
        self.take_in()

    def one_changes(self):
        self.all_are_there()
        photograph = self.random.choice(sorted(self.photographs.iterdir()))
        self.write(int(photograph.stem), brighter=self.random.randrange(3, 20))
        self.take_in(overwrite=self.random.random() < 0.3)

    def one_goes(self):
        self.all_are_there()
        with FeatureStore(self.database) as features:
            names = sorted(features.extracted())
        if len(names) > 2:
            name = self.random.choice(names)
            remove_images(self.database, [name])
            (self.photographs / name).unlink(missing_ok=True)

    def what_may_happen(self):
        return {
            self.refine: 4,
            partial(self.refine, rounds=2): 2,
            partial(self.refine, overwrite=True): 2,
            self.refine_by_shares: 2,
            self.restore: 1,
            partial(self.match, overwrite=True): 1,
            partial(self.match, overwrite=True, guided=True): 1,
            self.one_comes: 3,
            self.one_changes: 2,
            self.one_goes: 1,
            self.one_is_missing: 2,
        }


@pytest.mark.parametrize("seed", range(40 if ALL_TESTS else 2))
def test_any_sequence_of_commands(tmp_path, seed):
    random = Random(seed)
    project = Project(tmp_path, random)
    happening = project.what_may_happen()
    for happens in random.choices([*happening], [*happening.values()], k=STEPS):
        try:
            happens()
        except (RuntimeError, ValueError) as refusal:
            if not re.search(REFUSALS, str(refusal)):
                raise
        require_whole(project.database)
