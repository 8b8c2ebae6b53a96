"""Every notebook, twice: as it is written, and in library mode.

As written, the notebook's own copy of the exported code is run. In library mode the exported cells are skipped and the
generated module takes their place, so that prose and assertions test the package."""

from pathlib import Path

import pytest

from intrr.docs import execute, notebooks

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("library", [False, True], ids=["notebook", "library"])
@pytest.mark.parametrize("path", notebooks(ROOT), ids=lambda p: p.stem)
def test_notebook(path, library):
    execute(path, library=library)
