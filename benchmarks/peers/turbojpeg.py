"""libjpeg-turbo, through the package simplejpeg, on our JPEGs."""

import simplejpeg

from surgstream.benchmarks.support.clip_work import ClipWork, ReadClip


def readers(work: ClipWork) -> dict[str, ReadClip]:
    """Decode whole frames, with the exact transform and smooth chroma that everybody else uses too."""
    return {
        "libjpeg-turbo (simplejpeg), JPEG bytes": lambda number: work.augmented(
            number, [simplejpeg.decode_jpeg(frame) for frame in work.clips[number].frames]
        )
    }
