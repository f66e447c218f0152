"""Raw archives: what is unpacked, and what of a hostile one is not."""

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from codeact.datasets.preparing import unpacking
from codeact.datasets.preparing.unpacking import unpack
from codeact.exceptions import TaskFileError

Make = Callable[[Path, list[tuple[str, bytes]]], Path]


def tar(path: Path, members: list[tuple[str, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as opened:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return path


def tgz(path: Path, members: list[tuple[str, bytes]]) -> Path:
    return tar(path, members, "w:gz")


def zipped(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members:
            opened.writestr(name, content)
    return path


MAKERS = [tar, tgz, zipped]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.parametrize("make", MAKERS)
def test_all_members_appear_beside_what_is_there(make: Make, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "a").mkdir(parents=True)
    (out / "a" / "mine").write_bytes(b"mine")
    (out / "a" / "one").write_bytes(b"old")
    archive = make(tmp_path / "archive", [("a/one", b"1"), ("a/b/two", b"2"), ("three", b"")])
    assert unpack(archive, out) == 3
    assert tree(out) == {"a/mine": b"mine", "a/one": b"1", "a/b/two": b"2", "three": b""}


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    "name", ["../out2/x", "a/../../x", "/etc/x", "a\\..\\..\\x", "C:/x", "..", "a/b/../../../x"]
)
def test_a_name_that_leads_outside_is_refused(make: Make, tmp_path: Path, name: str) -> None:
    archive = make(tmp_path / "archive", [("good", b"1"), (name, b"2")])
    with pytest.raises(TaskFileError, match="leads outside of the folder; nothing of it"):
        unpack(archive, tmp_path / "out")
    assert tree(tmp_path) == {"archive": archive.read_bytes()}


def a_tar_with(path: Path, kind: bytes, target: str) -> Path:
    with tarfile.open(path, "w") as opened:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, target
        opened.addfile(info)
        body = tarfile.TarInfo("link/x")
        body.size = 1
        opened.addfile(body, io.BytesIO(b"2"))
    return path


def a_zip_with_a_link(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(info, "/etc")
        opened.writestr("link/x", b"2")
    return path


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE]
)
def test_a_tar_of_links_or_devices_is_refused(tmp_path: Path, kind: bytes) -> None:
    for target in ("/etc", "good"):
        archive = a_tar_with(tmp_path / "a.tar", kind, target)
        with pytest.raises(TaskFileError, match="'link' is a link or a device"):
            unpack(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == {}


def test_a_zip_with_a_link_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskFileError, match="'link' is a link or a device"):
        unpack(a_zip_with_a_link(tmp_path / "a.zip"), tmp_path / "out")
    assert tree(tmp_path / "out") == {}


@pytest.mark.parametrize("make", MAKERS)
def test_a_bomb_ends_at_the_bound(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MOST_BYTES", 1000)
    fits = make(tmp_path / "fits", [("a", bytes(600)), ("b", bytes(400))])
    assert unpack(fits, tmp_path / "one") == 2
    bomb = make(tmp_path / "bomb", [("a", bytes(600)), ("b", bytes(401))])
    with pytest.raises(TaskFileError, match="'b' goes beyond 1,000 bytes in all"):
        unpack(bomb, tmp_path / "two")
    assert tree(tmp_path / "two") == {}
    monkeypatch.setattr(unpacking, "MOST_FILES", 2)
    many = make(tmp_path / "many", [(str(n), b"") for n in range(3)])
    with pytest.raises(TaskFileError, match="one file more than 2"):
        unpack(many, tmp_path / "three")


@pytest.mark.parametrize("make", [tar, tgz])
def test_a_name_that_is_there_twice_is_refused(make: Make, tmp_path: Path) -> None:
    archive = make(tmp_path / "archive", [("a", b"1"), ("./a", b"2")])
    with pytest.raises(TaskFileError, match="is there twice"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
def test_an_archive_that_is_cut_leaves_nothing(make: Make, tmp_path: Path, share: float) -> None:
    content = bytes(range(256)) * 300
    archive = make(tmp_path / "archive", [(f"f{n}", content[n:]) for n in range(4)])
    archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * share)])
    with pytest.raises(TaskFileError, match="archive"):
        unpack(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == {}


@pytest.mark.parametrize("make", MAKERS)
def test_an_archive_without_a_file_is_refused(make: Make, tmp_path: Path) -> None:
    with pytest.raises(TaskFileError, match="an archive without a file"):
        unpack(make(tmp_path / "archive", []), tmp_path / "out")


def test_what_is_no_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "page").write_text("<html>moved</html>")
    with pytest.raises(TaskFileError, match="is no whole archive"):
        unpack(tmp_path / "page", tmp_path / "out")
