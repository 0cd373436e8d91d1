"""Which files are recordings. Imports nothing heavy."""

from __future__ import annotations

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".opus")
"""How the names of files of sound end that are decoded."""

FOREIGN_SUFFIXES = (".m4a", ".aac", ".wma")
"""How others end, which are listed as what cannot be read."""
