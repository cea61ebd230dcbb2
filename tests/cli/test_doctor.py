"""greenroom doctor: what this installation is."""

import platform
import sys
from types import SimpleNamespace

import greenlet
import pytest
from patch.children import run_greenroom

from greenroom import _config
from greenroom.cli import doctor as _doctor
from greenroom.cli.doctor import UNCOMPILED, _why_uncompiled, installation
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
    assert found["compiled"].startswith("no: ")
    assert found["uncompiled"] == UNCOMPILED
    assert found["poller"] == "selectors"
    assert found["slab"].startswith("not in use")


def test_what_uncompiled_costs_is_one_line_and_only_then(monkeypatch):
    for compiled in (True, False):
        monkeypatch.setattr(_doctor, "native", SimpleNamespace(compiled=lambda: compiled))  # noqa: B023
        lines = [line for line in installation() if line.startswith("uncompiled ")]
        assert lines == ([] if compiled else [f"uncompiled {UNCOMPILED}"])
        assert "\n" not in UNCOMPILED


def test_why_it_is_uncompiled_is_what_was_kept_when_it_was_built(tmp_path, monkeypatch):
    (tmp_path / "cli").mkdir()
    monkeypatch.setattr(_doctor, "__file__", str(tmp_path / "cli" / "doctor.py"))
    assert f"{tmp_path} has no extensions for this Python" in _why_uncompiled()
    (tmp_path / "uncompiled.txt").write_text("no C program could be compiled: cc: not there\n")
    assert _why_uncompiled() == "no C program could be compiled: cc: not there"


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


def examined(path):
    done = run_greenroom("doctor", path)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout[done.stdout.index("script     ") :].splitlines()


def test_it_says_how_pipes_files_and_children_are_waited_for():
    found = doctor()
    assert found["pipes"].startswith("read ")
    assert found["files"].startswith("read ")
    assert found["children"].startswith("waited for ")
    assert "ssl" in found["patches"]


def test_of_a_script_it_names_who_kept_an_old_reference_and_what_to_do(tmp_path):
    (tmp_path / "helper.py").write_text("from time import sleep as nap\n")
    script = tmp_path / "program.py"
    script.write_text("import helper\nimport greenroom\ngreenroom.patch_all()\nimport json\n1/0\n")
    lines = examined(script)
    assert (
        "kept       cannot patch 'time:sleep' for 'helper': it kept its own reference as 'nap'; "
        "start with 'greenroom run', or patch before it is imported"
    ) in lines
    assert "           2 imports, then patch_all()" in lines


def test_of_a_script_that_patches_first_nothing_is_kept(tmp_path):
    (tmp_path / "helper.py").write_text("from time import sleep as nap\n")
    script = tmp_path / "program.py"
    script.write_text("from greenroom import patch_all\npatch_all()\nimport helper\n")
    assert "kept       nothing: no module that it imports kept an old reference" in examined(script)


def test_of_a_script_it_names_packages_that_block_and_the_way_out(tmp_path):
    script = tmp_path / "program.py"
    script.write_text("def later():\n    import sqlite3\nimport no_such_module_here\n")
    lines = examined(script)
    assert (
        "blocks     sqlite3 waits or computes in C: wrap it: sqlite3 = greenroom.offload(sqlite3)"
    ) in lines
    assert "           does not patch: start it with 'greenroom run'" in lines
    assert any(line.startswith("import     no_such_module_here failed here:") for line in lines)


def test_a_script_that_cannot_be_read_is_one_sentence(tmp_path):
    (tmp_path / "broken.py").write_text("def\n")
    for name in ("missing.py", "broken.py"):
        done = run_greenroom("doctor", tmp_path / name)
        assert done.returncode == 2
        assert done.stderr.startswith(f"greenroom: cannot examine '{tmp_path / name}'")
        assert len(done.stderr.splitlines()) == 1
