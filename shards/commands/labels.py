"""`surgstream labels`: the label files of a public release as ours."""

import argparse
import sys

from surgstream.shards.releases.conversion import convert
from surgstream.shards.releases.registry import find_release


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream labels`."""
    release = find_release(words.release)
    converted = convert(release, words.root, words.out, allow_other_counts=words.allow_other_counts)
    sys.stdout.write(converted.summary() + "\n")
    return 0
