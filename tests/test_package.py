"""What the package offers by itself: by name, and only when it is asked for, for torch takes seconds to import."""

import inspect
import subprocess
import sys

import pytest

import fedgrow


@pytest.mark.parametrize("name", sorted({*fedgrow.__all__} - {"__version__"}))
def test_what_it_names_is_there_and_says_what_it_does(name):
    found = getattr(fedgrow, name)
    assert callable(found)
    assert inspect.getdoc(found)


def test_what_it_does_not_name_is_not_there():
    with pytest.raises(AttributeError, match="'fedgrow' has no attribute 'shrink'"):
        _ = fedgrow.shrink


def test_importing_it_imports_no_torch():
    code = "import sys, fedgrow; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
