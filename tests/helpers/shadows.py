"""Files and folders with the names of ours, and of what we build on, such as a user's working folder may hold."""

from pathlib import Path

from tests.helpers.wheels import ROOMS

FAILS = "raise RuntimeError('this is not surgstream')\n"


def write_shadows(folder: Path, kind: str) -> Path:
    """Fill a folder with what fails when it is imported: modules if `kind` is `files`, packages if it is `folders`."""
    folder.mkdir(exist_ok=True)
    for name in (*ROOMS, "surgstream", "torch"):
        path = folder / f"{name}.py"
        if kind == "folders":
            path = folder / name / "__init__.py"
            path.parent.mkdir(parents=True)
        path.write_text(FAILS)
    return folder
