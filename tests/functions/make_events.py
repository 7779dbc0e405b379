"""Draws the picture in `thumbnail/event.json`. Needs Pillow: `python tests/functions/make_events.py`."""

import base64
import io
import json
import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

EVENT = Path(__file__).with_name("thumbnail") / "event.json"
SIZE = (640, 480)


def sky() -> Image.Image:
    """Evening sky with a little grain, so that it compresses as a photograph does."""
    width, height = SIZE
    picture = Image.linear_gradient("L").resize(SIZE)
    red, blue = (picture.point([int(a + (b - a) * v / 255) for v in range(256)]) for a, b in ((40, 250), (120, 110)))
    green = picture.point([int(70 + 100 * math.sin(v / 255 * math.pi / 2)) for v in range(256)])
    grain = Image.effect_noise((width, height), 12)
    plain = Image.merge("RGB", (red, green, blue))
    return Image.blend(plain, Image.merge("RGB", (grain, grain, grain)), 0.14)


def landscape() -> Image.Image:
    """Sky, sun, three ranges of hills, a house."""
    picture = sky()
    draw = ImageDraw.Draw(picture)
    draw.ellipse((420, 150, 520, 250), fill=(255, 226, 150))
    for base, swing, step, colour in (
        (300, 45, 90.0, (92, 78, 110)),
        (350, 30, 60.0, (58, 72, 78)),
        (410, 18, 40.0, (34, 58, 44)),
    ):
        ridge = [(x, base + swing * math.sin(x / step)) for x in range(0, SIZE[0] + 8, 8)]
        draw.polygon([(0, SIZE[1]), *ridge, SIZE], fill=colour)
    draw.rectangle((120, 330, 210, 400), fill=(176, 132, 96), outline=(70, 50, 40), width=2)
    draw.polygon([(110, 332), (165, 285), (220, 332)], fill=(128, 48, 40))
    draw.rectangle((150, 360, 175, 400), fill=(70, 50, 40))
    return picture.filter(ImageFilter.SMOOTH)


def main() -> None:
    jpeg = io.BytesIO()
    landscape().save(jpeg, format="JPEG", quality=92)
    event = {"image": base64.b64encode(jpeg.getvalue()).decode(), "width": 160, "height": 160}
    EVENT.write_text(json.dumps(event, indent=2) + "\n")
    print(f"{EVENT}: a picture of {jpeg.tell()} bytes")


if __name__ == "__main__":
    main()
