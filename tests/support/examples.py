"""How many examples of Hypothesis a test takes."""

from hypothesis import settings


def examples(most: int) -> int:
    """``most`` with the profiles "thorough" (CI's) and "new", a third of them otherwise."""
    return most * settings.default.max_examples // 100
