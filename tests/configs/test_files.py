import errno
import os
import socket
from pathlib import Path

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.configs.files import naming, open_regular, read_text, write_atomically
from surgstream.configs.loading import load
from surgstream.launch.site import Site
from surgstream.shards.errors import UnusableFileError
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.engine.checkpoint_files import damage, state_bytes
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.files import read_tensors


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_what_might_never_answer_is_refused(tmp_path: Path, fifo: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        with pytest.raises(OSError):
            open_regular(tmp_path / "s")
    for path, kind in ((fifo, "FIFO"), (Path("/dev/zero"), "device")):
        with pytest.raises(OSError, match=f"expected a regular file, got a {kind}: '{path}'"):
            open_regular(path)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)


def test_wherever_files_are_read_a_fifo_is_told_in_a_sentence(tmp_path: Path, fifo: Path) -> None:
    with pytest.raises(ConfigError, match="expected a regular file, got a FIFO"):
        load(Site, fifo)
    with pytest.raises(ModelError, match="expected a regular file, got a FIFO"):
        read_tensors(fifo, where="teacher.weights")
    store = open_storage(str(tmp_path))
    with pytest.raises(UnusableFileError, match="expected a regular file, got a FIFO"):
        store.read(fifo.name)
    with pytest.raises(UnusableFileError, match="expected a regular file, got a FIFO"):
        store.read_into(fifo.name, 0, memoryview(bytearray(1)))
    os.mkfifo(tmp_path / "rank00000-000.safetensors")
    entry = {"bytes": 1, "sha256": ""}
    (tmp_path / "state.json").write_bytes(
        state_bytes({"step": 1, "g": 1, "files": {"rank00000-000.safetensors": entry}})
    )
    assert damage(tmp_path) == "rank00000-000.safetensors: expected a regular file, got a FIFO"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_the_mark_before_a_text_is_no_part_of_it(tmp_path: Path, mark: bytes) -> None:
    (tmp_path / "text").write_bytes(mark + "é\n".encode())
    assert read_text(tmp_path / "text") == "é\n"
    (tmp_path / "site.yaml").write_bytes(mark + b'time: "1"\n')
    assert load(Site, tmp_path / "site.yaml").time == "1"


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, durable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.json"
    write_atomically(path, "é", durable=durable, mode=0o600)
    assert path.read_bytes() == "é".encode() and path.stat().st_mode & 0o777 == 0o600
    write_atomically(path, b"new", durable=durable)
    assert path.read_bytes() == b"new"

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "it broke")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="it broke"):
        write_atomically(path, "other", durable=durable)
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]


def test_what_is_durable_is_on_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names_at_sync: list[list[str]] = []
    monkeypatch.setattr(
        "os.fsync", lambda _: names_at_sync.append([path.name for path in tmp_path.iterdir()])
    )
    write_atomically(tmp_path / "file", "x")
    assert names_at_sync == []
    write_atomically(tmp_path / "durable", "x", durable=True)
    assert len(names_at_sync) == 1 and "durable" not in names_at_sync[0]


def test_a_full_disk_names_the_file() -> None:
    with pytest.raises(OSError) as caught, naming("/dev/full"), open("/dev/full", "w") as file:
        file.write("x")
        file.flush()
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "/dev/full")
    with pytest.raises(FileNotFoundError) as told, naming("other"):
        Path("/no/such/file").read_bytes()
    assert told.value.filename == "/no/such/file"
