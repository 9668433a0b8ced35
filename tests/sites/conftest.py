"""A folder with a plan and the files of its sites."""

import pytest

from tests.sites.making import write_all


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "ca.crt").write_text("x")
    write_all(tmp_path, "127.0.0.1:9", tmp_path / "ca.crt")
    return tmp_path
