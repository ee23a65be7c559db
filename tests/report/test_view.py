"""The server of the 3D view: a fixed list of files, for who knows the address."""

import threading
from http.client import HTTPConnection

import numpy as np
import pytest
from support.reported import write_reported

from d2sfm.report.scene import cells, chunk, cloud
from d2sfm.report.view import read_view, served, write_view


@pytest.fixture(scope="module")
def view(tmp_path_factory):
    reported = write_reported(tmp_path_factory.mktemp("viewed"))
    return read_view(reported.model, images=reported.photographs)


def test_who_does_not_know_the_address_gets_nothing(view):
    with served(view) as (address, server):
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            scheme, _, host, token, _ = address.split("/")
            assert (scheme, host) == ("http:", f"127.0.0.1:{server.server_port}")
            assert len(token) >= 32

            def status(path, method="GET", name=host):
                connection = HTTPConnection(host, timeout=10)
                connection.request(method, path, headers={"Host": name})
                answer = connection.getresponse()
                return answer.status, answer.read()

            code, page = status(f"/{token}/")
            assert code == 200
            assert b"connect-src 'self'" in page
            assert status(f"/{token}/", name=f"localhost:{server.server_port}")[0] == 200
            assert status(f"/{token}/0-0.points") == (200, chunk(cloud(view.models[0]), slice(None)).data)
            for path in ("/", "/x/", f"/{token}", f"/{token}/../{token}/", f"/{token}/page.js", "/etc/passwd"):
                assert status(path)[0] == 404
            assert status(f"/{token}/", name="example.com")[0] == 403
            assert status(f"/{token}/", method="POST")[0] == 501
        finally:
            server.shutdown()
            thread.join()


def test_chunks_hold_the_points_to_a_step_of_16_bits(view):
    points = cloud(view.models[0])
    for rows in (slice(None), slice(0, 50)):
        made = chunk(points, rows)
        steps = np.frombuffer(made.data, "<u2", 3 * made.count).reshape(-1, 3)
        colours = np.frombuffer(made.data, np.uint8, offset=6 * made.count).reshape(-1, 3)
        np.testing.assert_allclose(made.low + steps / 65535 * made.size, points.xyz[rows], atol=made.size.max() / 65535)
        np.testing.assert_array_equal(colours, points.colours[rows])


def test_a_large_cloud_is_cut_into_cells_of_all_further_points(view, monkeypatch):
    monkeypatch.setattr("d2sfm.report.scene.MOST_POINTS", 30)
    points = cloud(view.models[0])
    found = cells(points, most=20)
    assert sum(cell.count for cell in found) == len(points.xyz) - 30
    assert max(cell.count for cell in found) <= 20
    whole = chunk(points, slice(30, None))
    assert np.median([np.prod(cell.size) for cell in found]) < np.prod(whole.size) / 4


def test_a_view_is_a_page_of_its_own(view, tmp_path):
    write_view(view, tmp_path / "model.html")
    text = (tmp_path / "model.html").read_text(encoding="utf-8")
    assert "connect-src" not in text
    assert "data:image/jpeg" in text
    with pytest.raises(ValueError, match=r"pages are written as \.html"):
        write_view(view, tmp_path / "model.png")
