"""What is wrong with a site's file is named."""

import pytest

from fedgrow.config.site import load_site
from fedgrow.errors import FedgrowError
from tests.sites.asking import site

WRONG = {
    "coordinator": ({"coordinator": "no port"}, r"coordinator: String should match"),
    "certificate": (
        {"certificate": "none.crt"},
        r"certificate .*none\.crt is no file; ask the coordinator for its .*ca\.crt",
    ),
    "home": (
        {"model": "~nosuchuser/x"},
        r"nothing is known of the home ~nosuchuser; write the path in full",
    ),
    "plan": ({"plan": "abc"}, r"plan: String should match"),
    "unknown": ({"limit": {}}, r"limit: no such setting, did you mean limits"),
}


@pytest.mark.parametrize(("changes", "why"), WRONG.values(), ids=WRONG)
def test_a_wrong_site_file_is_named(folder, changes, why):
    with pytest.raises(FedgrowError, match=why):
        site(folder, **changes)


NO_SITE = {
    "a list": (b"- a\n", "holds a list, expected settings"),
    "half a list": (b"a: [", "is not valid YAML at line 1"),
    "a null character": (b"\x00", "is not valid YAML"),
    "no text": (b"\xff", "cannot be read as UTF-8 text"),
    "nested": (b"[" * 3000, "is nested too deeply"),
    "limits twice": (
        b"limits: {rounds: 1}\nlimits: {rounds: 9}",
        "is not valid YAML at line 2: 'limits' stands twice",
    ),
}


@pytest.mark.parametrize(("data", "why"), NO_SITE.values(), ids=NO_SITE)
def test_a_file_that_is_no_site_file_is_refused(tmp_path, data, why):
    (tmp_path / "x.yaml").write_bytes(data)
    with pytest.raises(FedgrowError, match=rf"site file '.*x\.yaml' {why}"):
        load_site(tmp_path / "x.yaml")
