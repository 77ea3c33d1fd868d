"""The releases that `surgstream labels` reads, by name; the module of one is imported once it is asked for."""

import importlib

from surgstream.configs.errors import ConfigError
from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.releases.release import Release

MODULES = {
    "aixsuture": "assessment.aixsuture",
    "autolaparo": "workflow.autolaparo",
    "cataract101": "workflow.cataract101",
    "cataract21": "workflow.cataract21",
    "cataracts": "workflow.cataracts",
    "cholec80": "workflow.cholec80",
    "cholec80_cvs": "assessment.cholec80_cvs",
    "cholect45": "actions.cholect50",
    "cholect50": "actions.cholect50",
    "endoscapes": "assessment.endoscapes",
    "jigsaws": "assessment.jigsaws",
    "m2cai16": "workflow.m2cai16",
    "multibypass140": "workflow.multibypass140",
    "ophnet": "workflow.ophnet",
    "pitvis": "workflow.pitvis",
    "pmlr50": "workflow.pmlr50",
    "polypdiag": "assessment.polypdiag",
    "sarrarp50": "actions.sarrarp50",
    "surgical_actions160": "actions.surgical_actions160",
}
"""The module of each release, below this folder; its `RELEASES` holds the release."""


def find_release(name: str) -> Release:
    """The release of a name.

    Raises:
        ConfigError: There is none.
    """
    if name not in MODULES:
        raise ConfigError(
            f"{name}: expected a release, one of {', '.join(MODULES)}{did_you_mean(name, MODULES)}"
        )

    module = importlib.import_module(f"surgstream.shards.releases.{MODULES[name]}")
    releases: dict[str, Release] = {release.name: release for release in module.RELEASES}
    return releases[name]
