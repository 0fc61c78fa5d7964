"""What any server of pages needs before it listens."""

import pytest

from apical.deploy.service.listening import check_extras
from apical.errors import CannotDo


def test_an_extra_that_is_not_installed_is_one_line():
    check_extras("the page", "json")
    with pytest.raises(CannotDo, match="the page needs no_such_module, which is not installed"):
        check_extras("the page", "json", "no_such_module")
