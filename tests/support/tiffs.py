"""TIFF files written tag by tag, also such as contradict themselves."""

import struct

import numpy as np

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 40, 3), dtype=np.uint8)


SHORT, LONG, LONG8 = 3, 4, 16


CODES = {SHORT: "H", LONG: "I", LONG8: "Q"}


def tiff(changes=None, tiled=False, order="<", big=False, kind=None, disordered=False, pixels=PIXELS):
    """A file of the pixels without compression: of PIXELS 3 strips, or 3 x 2 tiles; ``changes`` replace its entries."""
    (height, width, samples), bits = pixels.shape, 8 * pixels.itemsize
    pixels = pixels.astype(pixels.dtype.newbyteorder(order))
    across, down = (16, 16) if tiled else (width, 8)
    parts = []
    for top in range(0, height, down):
        for left in range(0, width, across):
            part = pixels[top : top + down, left : left + across]
            padding = [(0, down - part.shape[0]), (0, across - part.shape[1]), (0, 0)]
            parts.append((np.pad(part, padding) if tiled else part).tobytes())
    starts = np.cumsum([16, *(len(part) for part in parts)]).tolist()
    kind = kind or LONG
    entries = {
        **{256: (kind, [width]), 257: (kind, [height]), 258: (SHORT, [bits] * samples), 259: (SHORT, [1])},
        **{262: (SHORT, [2]), 277: (SHORT, [samples]), 284: (SHORT, [1])},
        **({322: (SHORT, [16]), 323: (SHORT, [16])} if tiled else {278: (kind, [down])}),
        324 if tiled else 273: (kind, starts[:-1]),
        325 if tiled else 279: (kind, [len(part) for part in parts]),
        **(changes or {}),
    }
    word, count = ("Q", "Q") if big else ("I", "H")
    rows = sorted((tag, *entry) for tag, entry in entries.items() if entry)
    rows = rows[::-1] if disordered else rows
    directory = starts[-1]
    room = struct.calcsize(f"<{count}") + len(rows) * (20 if big else 12) + struct.calcsize(f"<{word}")
    head, beyond = struct.pack(f"{order}{count}", len(rows)), b""
    for tag, code, values in rows:
        data = struct.pack(f"{order}{len(values)}{CODES[code]}", *values)
        head += struct.pack(f"{order}HH{word}", tag, code, len(values))
        if len(data) > struct.calcsize(f"<{word}"):
            head += struct.pack(f"{order}{word}", directory + room + len(beyond))
            beyond += data
        else:
            head += data.ljust(struct.calcsize(f"<{word}"), b"\0")
    magic = b"II" if order == "<" else b"MM"
    start = struct.pack(f"{order}HHHQ", 43, 8, 0, directory) if big else struct.pack(f"{order}HI", 42, directory)
    return (magic + start).ljust(16, b"\0") + b"".join(parts) + head + bytes(struct.calcsize(f"<{word}")) + beyond
