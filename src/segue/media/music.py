"""Music analysis: the names that the rest of Segue uses.

`analyse_track` listens to one file; `analyse_library` to a folder of them, in parallel and never
twice to the same content. How: `audio` decodes, `music_features` measures every frame in one
Fourier transform, `rhythm` and `key` find beats and mode, `affect_features` and `embed.music_axes`
turn the numbers into axes of feeling.
"""

from segue.media.library import Library, analyse_library, find_tracks
from segue.media.track import TrackAnalysis, analyse_track

__all__ = ["Library", "TrackAnalysis", "analyse_library", "analyse_track", "find_tracks"]
