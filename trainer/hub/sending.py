"""The one door to the Hub: a repository, and one commit with all files of a folder, or none."""

from collections.abc import Iterator
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import RepositoryNotFoundError

from surgstream.shards.storage.base import without_secrets
from surgstream.trainer.errors import HubError
from surgstream.trainer.hub.folder import ExportedFolder

_MOST_LETTERS = 300


def send(exported: ExportedFolder, repository: str, *, public: bool) -> str:
    """Send a folder as one commit, to a repository that is made where there is none.

    The token is huggingface_hub's own: HF_TOKEN, or that of `hf auth login`.

    Args:
        exported: What to send.
        repository: `OWNER/NAME`.
        public: Whether everybody may read it; a repository that everybody may read is refused otherwise.

    Returns:
        The address of the commit.

    Raises:
        HubError: The Hub refuses, or cannot be reached. No file is in the repository then that was not there before.
    """
    api = HfApi()
    operations = [
        CommitOperationAdd(path_in_repo=each.path.name, path_or_fileobj=str(each.path))
        for each in exported.files
    ]
    # Whatever the library and its transports raise: of many kinds, and with addresses that are signed.
    try:
        _make_sure(api, repository, public=public)
        commit = api.create_commit(
            repository, operations, commit_message="Upload an encoder of surgstream"
        )
    except HubError:
        raise
    except Exception as error:
        raise HubError(
            f"{repository}: expected the Hub to take it, got {_told(error)}; nothing of it is in the repository: "
            "the same command sends it again, without what has arrived already"
        ) from None
    return str(commit.commit_url)


def _make_sure(api: HfApi, repository: str, *, public: bool) -> None:
    """Make sure that the repository is there, and read by those alone who may."""
    try:
        is_private = api.model_info(repository).private
    except RepositoryNotFoundError:
        api.create_repo(repository, private=not public)
        return

    if not is_private and not public:
        raise HubError(
            f"{repository}: expected a private repository, got one that everybody may read; choose another, or say "
            "--public"
        )


def _told(error: BaseException) -> str:
    """What went wrong, without addresses: the Hub's own words, or the kind of error."""
    for each in _causes(error):
        response: Any = getattr(each, "response", None)
        if response is not None:
            said = getattr(each, "server_message", None) or _MEANINGS.get(response.status_code, "")
            words = f"HTTP {response.status_code}{f': {said}' if said else ''}"
            return without_secrets(words)[:_MOST_LETTERS]

    last = [*_causes(error)][-1]
    first_line = str(last).partition("\n")[0]
    return without_secrets(f"{type(last).__name__}: {first_line}")[:_MOST_LETTERS]


_MEANINGS = {
    401: "no token, or not a valid one; set HF_TOKEN, or run `hf auth login`",
    403: "the token may not write there",
    404: "there is no such owner or repository, or the token may not see it",
}


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it, the first cause last."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
