"""JPEG: a file without the metadata segments that Pillow may fail at."""

from __future__ import annotations

START_OF_SCAN, JFIF, JFIF_LENGTH = 0xDA, 0xE0, 18
# Adobe's APP14 tells the color space, JFIF's APP0 that it is YCbCr; all other APPn segments and comments are metadata.
METADATA = {*range(0xE1, 0xF0), 0xFE} - {0xEE}


def without_metadata(content: bytes) -> bytes | None:
    """The same pixels without EXIF, profiles and comments; None if there are none, or its segments are damaged."""
    if not content.startswith(b"\xff\xd8"):
        return None
    kept, at, is_changed = [content[:2]], 2, False
    while at + 4 <= len(content):
        if content[at] != 0xFF:
            return None
        marker = content[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4])
        if marker == START_OF_SCAN:
            return b"".join([*kept, content[at:]]) if is_changed else None
        if marker in METADATA or (marker == JFIF and end - at < JFIF_LENGTH):
            is_changed = True
            # A segment whose length is wrong ends where the next one begins.
            if end > len(content) or content[end : end + 1] != b"\xff":
                end = _next_table(content, at + 4)
        else:
            kept.append(content[at:end])
        at = end
    return None


def _next_table(content: bytes, start: int) -> int:
    """Where the next segment starts that belongs to the pixels: a quantization table or the start of a frame."""
    places = [content.find(bytes([0xFF, marker]), start) for marker in (0xDB, 0xC0, 0xC1, 0xC2, 0xC4, 0xEE)]
    return min((place for place in places if place >= 0), default=len(content))
