"""Body surface -> what covers it: the names of the regions that a dressed body is coloured by."""

from __future__ import annotations

REGIONS = ("skin", "hair", "shirt", "lower", "shoes", "eyes", "brows", "lips")
SKIN, HAIR, SHIRT, LOWER, SHOES, EYES, BROWS, LIPS = range(len(REGIONS))
