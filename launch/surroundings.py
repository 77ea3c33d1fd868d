"""Checks of the files that a site names, before a job is submitted."""

import sys
from pathlib import Path

from surgstream.configs.errors import ConfigError
from surgstream.launch.site import Site


def check_venv(site: Site, *, dry_run: bool = False) -> None:
    """Make sure that a site's virtual environment is one, as far as this machine can see.

    Args:
        site: The site.
        dry_run: Print a mistake to stderr, and go on.

    Raises:
        ConfigError: There is nothing of the kind.
    """
    if site.venv is None:
        return

    venv = Path(site.venv).absolute()
    if not venv.parent.is_dir():
        sys.stderr.write(f"venv: {venv.parent} cannot be seen from here; {venv} is not checked\n")
    elif mistake := _mistake(venv):
        if not dry_run:
            raise ConfigError(mistake)
        sys.stderr.write(f"would be refused: {mistake}\n")


def _mistake(venv: Path) -> str | None:
    """The mistake in a virtual environment whose file system is mounted; None if it is right."""
    path = f'environment: {{PATH: "{venv}/bin:$PATH"}}'
    if not venv.is_dir():
        return (
            f"venv: expected a virtual environment, got nothing at {venv}; "
            f"`python3 -m venv {venv}` makes one; where only nodes have it, leave venv out and "
            f"use {path}"
        )

    if not (venv / "bin" / "activate").exists():
        if (venv / "conda-meta").is_dir():
            return (
                f"venv: expected a virtual environment, got the conda environment {venv}; use it "
                f"by {path} instead"
            )
        return f"venv: expected a virtual environment, got {venv} without bin/activate"

    if not (venv / "bin" / "surgstream").exists():
        return f"venv: expected surgstream in {venv}, got none; install it with {venv}/bin/pip"
    return None
