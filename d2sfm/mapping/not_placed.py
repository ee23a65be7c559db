"""Why images could not be placed in a model, of each by itself."""

import numpy as np

from d2sfm.database import MatchStore
from d2sfm.database.pair_ids import image_pairs
from d2sfm.mapping.growth import Growth
from d2sfm.mapping.in_common import has_usable
from d2sfm.mapping.one_run import MappingInput
from d2sfm.text import printable


def why_not(store: MatchStore, given: MappingInput, growth: Growth) -> dict[str, str]:
    """By name, sorted, of the images of the database that the model lacks: what they lack, to follow their names.

    growth: after placing what can be placed.
    """
    names, there = store.image_names(), growth.model.reg_image_ids()
    lacking = set(names.values()) - {growth.model.images[image_id].name for image_id in there}
    counts = store.pair_counts()
    pairs = image_pairs(counts["pair_id"])
    verified = (counts["inliers"] > 0) & ~np.isin(counts["pair_id"], given.left_out)
    in_model = np.isin(pairs, there)
    reasons = {}
    for name, image_id in sorted((name, image_id) for image_id, name in names.items() if name in lacking):
        own = (pairs == image_id).any(axis=1) & in_model.any(axis=1)
        if not has_usable(store, image_id):
            reasons[name] = "has no keypoints that can be used: run d2sfm extract"
        elif not own.any():
            reasons[name] = "was not matched with an image of the model: run d2sfm match"
        elif not (own & verified).any():
            best = np.flatnonzero(own)[np.argmax(counts["inliers"][own])]
            other = int(pairs[best][pairs[best] != image_id][0])
            reasons[name] = (
                f"agrees with no image of the model by more matches than chance explains (of {own.sum()} pairs, at "
                f"best {counts['inliers'][best]} of {counts['matches'][best]} matches, with "
                f"{printable(names[other])}): it shows another place, or shares too little"
            )
        elif (seen := growth.visible_points(image_id)) < growth.needed:
            reasons[name] = (
                f"has matches with {seen} points of the model, {growth.needed} are needed: photographs between it and "
                "those of the model help"
            )
        else:
            reasons[name] = (
                f"has matches with {seen} points of the model, and no pose that {growth.needed} of them agree with"
            )
    return reasons
