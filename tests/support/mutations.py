"""Bytes of good files made worse, for the tests that feed bad files to readers."""

import random


def mutated(content: bytes, seed: int) -> bytes:
    """The bytes with a few of them changed, taken out, put in, or moved."""
    generator, content = random.Random(seed), bytearray(content)
    for _ in range(generator.choice((1, 1, 1, 2, 3, 10))):
        at = generator.randrange(len(content) + 1)
        size = generator.choice((1, 1, 1, 2, 4, 8, 100))
        new = generator.choice(
            (
                generator.randbytes(size),
                b"\xff" * size,
                b"\0" * size,
                content[generator.randrange(len(content) + 1) :][:size],
            )
        )
        change = generator.randrange(4)
        if change == 0:
            content[at : at + len(new)] = new
        elif change == 1:
            del content[at : at + size]
        elif change == 2:
            content[at:at] = new
        elif at < len(content):
            content[at] ^= 1 << generator.randrange(8)
    return bytes(content)


def cut(content: bytes, share: float) -> bytes:
    """The first bytes, ``share`` (0 to 1) of them."""
    return content[: int(share * len(content))]
