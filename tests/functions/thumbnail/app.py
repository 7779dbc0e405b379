"""Makes a thumbnail: a picture and a size in, a smaller picture out."""

import base64
import io
from typing import Any

from PIL import Image

SIDE_MAX = 2_048


def wanted(event: dict[str, Any], name: str) -> int:
    side = event.get(name)
    if not isinstance(side, int) or not 1 <= side <= SIDE_MAX:
        raise ValueError(f"{name} must be a whole number from 1 to {SIDE_MAX}, not {side!r}")
    return side


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Fits `event["image"]` (base64) into `width` x `height` pixels; proportions and format stay."""
    size = (wanted(event, "width"), wanted(event, "height"))
    with Image.open(io.BytesIO(base64.b64decode(event["image"], validate=True))) as picture:
        kind = picture.format or "PNG"
        picture.thumbnail(size)
        small = io.BytesIO()
        picture.save(small, format=kind)
        width, height = picture.size
    print(f"{kind} made {width}x{height}, {small.tell()} bytes")
    return {"width": width, "height": height, "format": kind, "image": base64.b64encode(small.getvalue()).decode()}
