"""Commands as functions of their words, which let errors pass."""

from functools import partial

from surgstream.launch.commands import run

pack = partial(run, "pack")
verify = partial(run, "verify")
inspect = partial(run, "inspect")
leaks = partial(run, "leaks")
stage = partial(run, "stage")
