"""Display colours of lesions, told apart also with colour-deficient vision."""

from __future__ import annotations

RGB = tuple[int, int, int]

_HUES: tuple[RGB, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Okabe and Ito, Color Universal Design (2008), without black."""
_WHITE, _BLACK = 255, 0
_SHADES = ((_WHITE, 0.0), (_WHITE, 0.5), (_BLACK, 0.4))
"""Colour mixed in, and its share: each hue as it is, then lighter, then darker."""


def lesion_color(number: int) -> RGB:
    """Colour of a lesion, (red, green, blue) 0 to 255; 21 differ, then they repeat.

    Parameters
    ----------
    number
        Lesion number, from 1.
    """
    shade, hue = divmod((number - 1) % (len(_HUES) * len(_SHADES)), len(_HUES))
    other, share = _SHADES[shade]
    red, green, blue = (round(value * (1 - share) + other * share) for value in _HUES[hue])
    return red, green, blue
