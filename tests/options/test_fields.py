"""What all option classes share: plain values are taken for those of the fields."""

from dataclasses import fields
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
from support.option_classes import ALL_OPTIONS

from d2sfm.options import (
    ExtractionOptions,
    MapCacheOptions,
    MaskOptions,
    MatchingOptions,
    PairOptions,
    PairSelectionOptions,
    Precision,
    TrainingOptions,
    TrainingPrecision,
    VerificationOptions,
)
from d2sfm.options.fields import value_type

CHOICES = [
    (kind, field.name, value_type(field.type))
    for kind in ALL_OPTIONS
    for field in fields(kind)
    if issubclass(value_type(field.type), Enum)
]
MEMBERS = [(kind, name, member) for kind, name, choices in CHOICES for member in choices]


def test_there_are_choices_of_every_stage():
    assert {"ExtractionOptions", "ExportOptions", "ReconstructionOptions", "TrainingOptions"} <= {
        kind.__name__ for kind, _, _ in CHOICES
    }


@pytest.mark.parametrize(("kind", "name", "member"), MEMBERS)
def test_a_choice_may_be_a_plain_string(kind, name, member):
    assert getattr(kind(**{name: str(member)}), name) is member
    assert kind(**{name: str(member)}) == kind(**{name: member})


@pytest.mark.parametrize(("kind", "name", "choices"), CHOICES)
@pytest.mark.parametrize("value", ["other", "", 1])
def test_what_is_no_choice_is_answered_with_the_choices(kind, name, choices, value):
    *others, last = choices
    with pytest.raises(ValueError, match=f"^{name} must be {', '.join(others)} or {last}, found {value!r}$"):
        kind(**{name: value})


def test_nothing_is_no_choice_where_there_is_a_default():
    with pytest.raises(ValueError, match="precision must be float32, bfloat16, float16 or auto, found None"):
        ExtractionOptions(precision=None)


def test_a_member_of_another_enumeration_counts_by_its_name():
    assert TrainingOptions(precision=Precision.FLOAT16).precision is TrainingPrecision.FLOAT16
    with pytest.raises(ValueError, match="precision must be float32, bfloat16 or float16"):
        TrainingOptions(precision=Precision.AUTO)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (VerificationOptions, "max_error", 4),
        (MatchingOptions, "ratio", 1),
        (PairOptions, "max_overlap", np.float32(1)),
        (ExtractionOptions, "memory_limit", np.int64(2)),
    ],
)
def test_any_number_may_stand_for_a_float(kind, name, value):
    taken = getattr(kind(**{name: value}), name)
    assert type(taken) is float
    assert taken == value


@pytest.mark.parametrize("scales", [[0.5, 1, 2], (0.5, 1.0, 2.0), np.array([0.5, 1, 2])])
def test_several_values_may_be_a_list(scales):
    options = ExtractionOptions(scales=scales)
    assert repr(options.scales) == "(0.5, 1.0, 2.0)"


def test_a_path_may_be_a_string():
    assert MaskOptions(masks="masks").masks == Path("masks")
    assert MapCacheOptions(cache="maps").cache == Path("maps")
    assert PairSelectionOptions(pairs="poses", model="sparse/0").model == Path("sparse/0")


@pytest.mark.parametrize("kind", ALL_OPTIONS)
def test_unknown_options_fail(kind):
    with pytest.raises(TypeError):
        kind(no_such_option=1)
