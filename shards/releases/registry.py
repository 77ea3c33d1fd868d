"""The releases that `surgstream labels` reads, by name; the module of one is imported once it is asked for."""

import importlib

from surgstream.configs.errors import ConfigError
from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.releases.release import Release

MODULES = {
    "autolaparo": "workflow.autolaparo",
    "cholec80": "workflow.cholec80",
    "cholect45": "actions.cholect50",
    "cholect50": "actions.cholect50",
    "endoscapes": "assessment.endoscapes",
    "m2cai16": "workflow.m2cai16",
    "multibypass140": "workflow.multibypass140",
    "ophnet": "workflow.ophnet",
    "pitvis": "workflow.pitvis",
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
