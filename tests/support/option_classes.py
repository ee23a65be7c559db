"""All classes of options."""

from d2sfm import options

ALL_OPTIONS = [value for name, value in vars(options).items() if name.endswith("Options")]
