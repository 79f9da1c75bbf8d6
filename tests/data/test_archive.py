"""Files of others: where they are looked for, how they are checked, how they are downloaded."""

import gzip
import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gmnm_lib.data import archive as archive_module
from gmnm_lib.data.archive import Archive, whereabouts_of
from gmnm_lib.errors import InputError

CONTENT = bytes(range(256)) * 40
FILE = Archive("letters", "abc.gz", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture(autouse=True)
def folders(monkeypatch, tmp_path):
    """GMNM_DATA and the folder of downloads, both empty, and mirrors that are not there."""
    (tmp_path / "given").mkdir()
    monkeypatch.setenv("GMNM_DATA", str(tmp_path / "given"))
    monkeypatch.setattr(archive_module, "downloads", lambda: tmp_path / "downloads")
    monkeypatch.setattr(archive_module, "MIRRORS", ())
    return tmp_path


@pytest.fixture
def mirrors(monkeypatch, folders):
    """Mirrors "empty", "broken" and "sound", asked in this order; `mirrors` is the folder that they serve."""
    served = folders / "served"
    for mirror, content in {"broken": gzip.compress(CONTENT)[:-20], "sound": gzip.compress(CONTENT)}.items():
        (served / mirror / FILE.folder).mkdir(parents=True)
        (served / mirror / FILE.folder / FILE.name).write_bytes(content)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            """Say nothing: requests are not what the reader of a test's output looks for."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=served))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(archive_module, "MIRRORS", [f"{address}/{mirror}" for mirror in ("empty", "broken", "sound")])
    yield served
    server.shutdown()
    server.server_close()


def put(path, content=CONTENT):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content))
    return path


def test_the_same_content_in_another_packing_is_accepted(folders):
    path = folders / "given" / FILE.name
    path.write_bytes(gzip.compress(CONTENT[:5000], 1) + gzip.compress(CONTENT[5000:], 9))
    assert FILE.read() == CONTENT


def test_gmnm_data_is_searched_before_downloads(folders):
    download = put(folders / "downloads" / FILE.folder / FILE.name)
    assert FILE.find() == download
    given = put(folders / "given" / FILE.name)
    assert FILE.find() == given
    sorted_away = put(folders / "given" / FILE.folder / FILE.name)
    assert FILE.find() == sorted_away


def test_whereabouts_name_the_folder_once_all_files_are_there(folders):
    other = Archive(FILE.folder, "d.gz", FILE.sha256)
    put(folders / "given" / FILE.folder / FILE.name)
    assert whereabouts_of([FILE, other]) == "needs download"
    put(folders / "given" / FILE.folder / other.name)
    assert whereabouts_of([FILE, other]) == str(folders / "given" / FILE.folder)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "sha256 differs"),
        (b"this is not gzip", "cut short or is no gzip"),
        (gzip.compress(CONTENT)[:-30], "cut short or is no gzip"),
        (gzip.compress(CONTENT)[:30] + bytes(40) + gzip.compress(CONTENT)[70:], "cut short or is no gzip"),
        (gzip.compress(CONTENT[:-1]), "sha256 differs"),
    ],
    ids=["empty", "not gzip", "truncated", "overwritten", "other content"],
)
def test_a_corrupt_file_is_refused_by_name_with_a_mend(folders, content, complaint):
    path = folders / "given" / FILE.name
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        FILE.read()
    message = str(caught.value)
    assert complaint in message
    assert f"delete {path}" in message
    assert path.read_bytes() == content  # the reader's own file is left as it is


def test_a_gmnm_data_that_is_no_folder_is_named(monkeypatch, folders):
    monkeypatch.setenv("GMNM_DATA", str(folders / "nowhere"))
    with pytest.raises(InputError, match=r"GMNM_DATA names .*nowhere, which is no folder"):
        FILE.find()


def test_a_download_passes_over_mirrors_without_a_sound_copy(mirrors, folders, capfd):
    assert FILE.read() == CONTENT
    kept = folders / "downloads" / FILE.folder / FILE.name
    assert kept.read_bytes() == (mirrors / "sound" / FILE.folder / FILE.name).read_bytes()
    assert [path.name for path in kept.parent.iterdir()] == [FILE.name]  # no partial file stays behind


def test_a_file_is_downloaded_once(mirrors, folders):
    FILE.read()
    (mirrors / "sound" / FILE.folder / FILE.name).unlink()
    assert FILE.read() == CONTENT


def test_no_sound_mirror_is_said_in_one_sentence_and_leaves_no_file(mirrors, folders):
    (mirrors / "sound" / FILE.folder / FILE.name).unlink()
    with pytest.raises(InputError, match=r"abc\.gz could not be downloaded from any of 3 mirrors.*set GMNM_DATA"):
        FILE.read()
    assert list((folders / "downloads" / FILE.folder).iterdir()) == []


def test_an_interrupted_download_leaves_no_file(mirrors, folders, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("requests.models.Response.iter_content", interrupt)
    with pytest.raises(KeyboardInterrupt):
        FILE.read()
    assert list((folders / "downloads" / FILE.folder).iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(folders, mirrors):
    (folders / "downloads").write_text("a file where a folder should be")
    with pytest.raises(InputError, match=r"abc\.gz cannot be saved in .*downloads.*set GMNM_DATA"):
        FILE.read()
