"""Downloads from a server in this process: what is recorded, and what is refused."""

import functools
import http.server
import threading

import pytest
from tensorflow_datasets.core.download import downloader

from data_pipelines.errors import DataError
from data_pipelines.readers.downloads import CHECKSUMS_FILE, fetch

CONTENT = bytes(range(256)) * 8


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; of `cut.gz` only the half that it announces."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        if self.path != "/cut.gz":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(2 * len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """(folder, address of what is in it)."""
    monkeypatch.setattr(downloader, "MAX_RETRIES", 0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "a.gz").write_bytes(CONTENT)
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_with_its_checksum_and_must_stay_the_same(site, tmp_path):
    folder, address = site
    path = tmp_path / "raw" / "a.gz"
    left = path.parent / ".download-a.gz"
    left.mkdir(parents=True)
    (left / "of a killed download").write_text("half")
    fetch(f"{address}/a.gz", path)
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == ["a.gz", CHECKSUMS_FILE]
    url, size, checksum, name = (path.parent / CHECKSUMS_FILE).read_text().strip().split("\t")
    assert (url, size, name) == (f"{address}/a.gz", "2048", "a.gz")
    assert len(checksum) == 64

    (folder / "b.gz").write_bytes(b"another")
    fetch(f"{address}/b.gz", path.parent / "b.gz")
    assert len((path.parent / CHECKSUMS_FILE).read_text().splitlines()) == 2

    path.unlink()
    fetch(f"{address}/a.gz", path)
    assert path.read_bytes() == CONTENT
    path.unlink()
    (folder / "a.gz").write_bytes(CONTENT[::-1])
    with pytest.raises(DataError, match=r"a\.gz: is not the file that .*checksums\.tsv knows by"):
        fetch(f"{address}/a.gz", path)
    assert names(path.parent) == ["b.gz", CHECKSUMS_FILE]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("{}/none.gz", "HTTP code: 404"),
        ("{}/cut.gz", "IncompleteRead"),
        ("http://127.0.0.1:1/a.gz", "refused"),
    ],
)
def test_what_cannot_be_downloaded_is_named(site, tmp_path, url, reason):
    url = url.format(site[1])
    path = tmp_path / "raw" / "a.gz"
    with pytest.raises(DataError) as caught:
        fetch(url, path)
    message = str(caught.value)
    assert message.startswith(f"{url}: cannot be downloaded (")
    assert reason in message
    assert message.endswith(f"; fetch it in another way and put it at {path}.")
    assert "\n" not in message
    assert names(path.parent) == []


def test_damaged_checksums_are_named(site, tmp_path):
    record = tmp_path / CHECKSUMS_FILE
    record.write_text("what is this\n")
    with pytest.raises(DataError, match=r"checksums\.tsv: is damaged; remove it"):
        fetch(f"{site[1]}/a.gz", tmp_path / "a.gz")
    assert names(tmp_path) == [CHECKSUMS_FILE, "site"]
