"""Errors of libraries in words for one line."""


def one_line(error: object, longest: int | None = None) -> str:
    """An exception's text without line ends, or its kind where it has none; cut after ``longest`` characters.

    What can't be printed, as half characters out of a damaged file, is escaped.
    """
    text = " ".join(str(error).split()).encode(errors="backslashreplace").decode() or type(error).__name__
    return text if longest is None or len(text) <= longest else f"{text[:longest]}..."
