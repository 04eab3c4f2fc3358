"""Draws the training images of this example: small PNGs, each with a caption file.

python3 make_dataset.py [FOLDER]
"""

import struct
import sys
import zlib
from pathlib import Path

SIZE = 64
CAPTIONS = [
    "aki, 1girl, solo, red scarf, smile, outdoors",
    "aki, 1girl, solo, red scarf, looking at viewer, night",
    "aki, 1girl, portrait, short hair, simple background",
    "aki, 1girl, solo, standing, outdoors, autumn leaves",
    "aki, 1girl, sitting, red scarf, window, smile",
    "aki, 1girl, upper body, short hair, night, city lights",
]


def chunk(kind, data):
    """A PNG chunk (PNG specification, section 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def draw(number):
    """A disc on a two-coloured ground, different for each number, as rows of RGB bytes."""
    rows = []
    middle_x, middle_y, radius = 20 + 5 * number, 40 - 3 * number, 12 + number
    for y in range(SIZE):
        row = bytearray(b"\0")
        for x in range(SIZE):
            inside = (x - middle_x) ** 2 + (y - middle_y) ** 2 < radius**2
            row += bytes(
                (200, 40 + 8 * number, 50) if inside else (60 + 2 * y, 90 + 20 * number, 220 - 2 * x)
            )
        rows.append(bytes(row))
    return b"".join(rows)


def png(pixels):
    """An RGB PNG file of SIZE × SIZE pixels."""
    header = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(pixels, 9))
        + chunk(b"IEND", b"")
    )


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "dataset") / "10_aki"
    folder.mkdir(parents=True, exist_ok=True)
    for number, caption in enumerate(CAPTIONS):
        (folder / f"aki_{number + 1:02d}.png").write_bytes(png(draw(number)))
        (folder / f"aki_{number + 1:02d}.txt").write_text(caption + "\n")
    print(f"{len(CAPTIONS)} images in {folder}")


if __name__ == "__main__":
    main()
