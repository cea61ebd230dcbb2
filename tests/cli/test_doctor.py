"""greenroom doctor: what this installation is."""

import platform
import sys

import greenlet
import pytest
from patch.children import run_greenroom

from greenroom import _config
from greenroom.core import native


def doctor(**env):
    done = run_greenroom("doctor", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    return dict(line.split(None, 1) for line in done.stdout.splitlines() if line)


def test_it_names_python_and_greenlet():
    found = doctor()
    assert found["Python"].startswith(f"{platform.python_version()} (cpython)")
    assert sys.executable in found["Python"]
    assert found["greenlet"] == greenlet.__version__


@pytest.mark.skipif(not native.compiled(), reason="of a compiled install")
def test_a_compiled_install_says_yes_and_polls_by_epoll():
    found = doctor(GREENROOM_POLLER="")
    assert found["compiled"] == "yes"
    assert found["poller"] == "epoll"
    assert found["slab"].startswith("in use")


@pytest.mark.skipif(native.compiled(), reason="of an uncompiled install")
def test_an_uncompiled_install_says_why_and_what_it_costs():
    found = doctor()
    assert found["compiled"].startswith("no: no C compiler was found")
    assert found["poller"] == "selectors"
    assert found["slab"].startswith("not in use")


def test_it_says_what_the_environment_sets():
    found = doctor(GREENROOM_DEBUG="1", GREENROOM_POLLER="selectors")
    assert found["debug"].startswith("on")
    assert found["poller"] == "selectors"


def test_it_says_that_the_slab_is_switched_off():
    assert doctor(GREENROOM_ARENA="0")["slab"].startswith("not in use")


def test_a_bad_setting_is_one_sentence_that_names_it():
    for name, value in (("GREENROOM_POLLER", "kqueue"), ("GREENROOM_DEBUG", "yes")):
        done = run_greenroom("doctor", env={name: value})
        assert done.returncode != 0
        assert f"{name}='{value}': expected" in done.stderr


def test_the_settings_of_the_tests_themselves_are_in_force():
    assert doctor()["debug"].startswith("on" if _config.DEBUG else "off")
