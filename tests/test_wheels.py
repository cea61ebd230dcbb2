"""scripts/wheels.py: the names, tags and records of the wheels. Nothing is compiled here."""

import csv
import io
import re
import runpy
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheels():
    return SimpleNamespace(**runpy.run_path(str(ROOT / "scripts" / "wheels.py")))


def test_there_is_a_target_for_each_processor_and_c_library(wheels):
    found = {(target.machine, target.libc) for target in wheels.TARGETS.values()}
    assert found == {(m, c) for m in ("x86_64", "aarch64") for c in ("gnu", "musl")}
    for tag, target in wheels.TARGETS.items():
        assert tag == target.tag
        assert tag.startswith("musllinux_1_2_" if target.libc == "musl" else "manylinux_2_28_")
        assert target.zig.startswith(f"{target.machine}-linux-{target.libc}")
    assert wheels.TARGETS["manylinux_2_28_aarch64"].zig.endswith(".2.28")


def test_a_wheel_s_name_is_what_pip_looks_for(wheels):
    assert (
        wheels.wheel_name("greenroom", "0.1.0", "3.14", "musllinux_1_2_aarch64")
        == "greenroom-0.1.0-cp314-cp314-musllinux_1_2_aarch64.whl"
    )


def test_an_extension_s_name_is_what_this_python_looks_for(wheels):
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for target in wheels.TARGETS.values():
        name = wheels.extension_name("greenroom.core.task", version, target)
        assert name.startswith("greenroom/core/task.cpython-3")
        if f"-{target.triplet}." in suffix:
            assert name == f"greenroom/core/task{suffix}"


def test_the_versions_are_those_of_the_project_file(wheels):
    text = (ROOT / "pyproject.toml").read_text()
    assert list(wheels.PYTHONS) == re.findall(r"Python :: (3\.\d+)", text)
    settings = tomllib.loads(text)["tool"]["cibuildwheel"]
    assert settings["build"].split() == [f"{wheels.python_tag(v)}-*" for v in wheels.PYTHONS]
    assert set(settings["archs"]) == {target.machine for target in wheels.TARGETS.values()}


def test_the_compiler_is_asked_for_a_stripped_library_without_what_only_gcc_knows(wheels):
    target = wheels.TARGETS["musllinux_1_2_x86_64"]
    command = wheels.compile_command(
        ["zig"], target, "a.c", "a.so", ["inc"], ["-O2", "-fno-inline-functions-called-once"]
    )
    assert command[:4] == ["zig", "cc", "-target", "x86_64-linux-musl"]
    assert {"-O2", "-Iinc", "-Wl,-s", "-shared", "-fomit-frame-pointer"} <= set(command)
    assert "-fno-inline-functions-called-once" not in command
    assert command[-3:] == ["a.c", "-o", "a.so"]


def test_a_wheel_has_the_extensions_its_own_tag_and_a_complete_record(wheels, tmp_path):
    base = tmp_path / "greenroom-0.1.0-py3-none-any.whl"
    info = "greenroom-0.1.0.dist-info"
    plain = {
        "greenroom/__init__.py": b"",
        "greenroom/uncompiled.txt": b"GREENROOM_COMPILE=0",
        f"{info}/WHEEL": b"Root-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/METADATA": b"Name: greenroom\n",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(base, "w") as archive:
        for name, data in plain.items():
            archive.writestr(name, data)
    files = wheels.compose(base, {"greenroom/x.so": b"ELF"}, "3.12", "manylinux_2_28_x86_64")
    assert "greenroom/uncompiled.txt" not in files
    head = files[f"{info}/WHEEL"].decode()
    assert "Tag: cp312-cp312-manylinux_2_28_x86_64\n" in head
    assert "Root-Is-Purelib: false\n" in head
    record = list(csv.reader(io.StringIO(files[f"{info}/RECORD"].decode())))
    assert [row[0] for row in record] == list(files)
    assert record[-1] == [f"{info}/RECORD", "", ""]
    assert ["greenroom/x.so", record[1][1], "3"] in record
    assert record[1][1].startswith("sha256=") and "=" not in record[1][1][len("sha256=") :]
    one, two = tmp_path / "one.whl", tmp_path / "two.whl"
    for path in (one, two):
        wheels.write_wheel(path, files)
    assert one.read_bytes() == two.read_bytes()


def test_each_python_is_told_one_oldest_greenlet(wheels):
    """And the page of them is in step with the project file."""
    requirements = pytest.importorskip("packaging.requirements")
    page = (ROOT / "docs" / "installing.md").read_text()
    rows = dict(re.findall(r"^\| (3\.\d+) \| ([\d.]+) \|", page, re.M))
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    found = [requirements.Requirement(text) for text in listed]
    assert list(rows) == list(wheels.PYTHONS)
    for version in wheels.PYTHONS:
        fit = [one for one in found if one.marker.evaluate({"python_version": version})]
        assert len(fit) == 1
        assert rows[version] in fit[0].specifier
        assert rows[version].startswith(str(fit[0].specifier).removeprefix(">="))


# --- setup.py


@pytest.fixture(scope="module")
def setup_py():
    setuptools = pytest.importorskip("setuptools")
    assert setuptools
    return runpy.run_path(str(ROOT / "setup.py"), run_name="setup")


def test_why_nothing_is_compiled_is_said_in_one_line(setup_py, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.delenv("GREENROOM_COMPILE", raising=False)
    assert setup_py["why_uncompiled"]() == (
        "no C program could be compiled when it was built: "
        "no-such-compiler: No such file or directory"
    )
    monkeypatch.setenv("GREENROOM_COMPILE", "1")
    with pytest.raises(SystemExit, match="no C program can be built: no-such-compiler"):
        setup_py["why_uncompiled"]()
    monkeypatch.setenv("GREENROOM_COMPILE", "0")
    assert setup_py["why_uncompiled"]() == "GREENROOM_COMPILE=0 was set when it was built"


def test_a_compiler_s_error_is_said_without_the_name_of_the_probe(setup_py, monkeypatch, tmp_path):
    compiler = tmp_path / "cc"
    compiler.write_text(
        "#!/bin/sh\necho '/x/probe.c:1:10: fatal error: Python.h: none' >&2\nexit 1\n"
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setenv("GREENROOM_COMPILE", "auto")
    assert setup_py["why_uncompiled"]() == (
        f"no C program could be compiled when it was built: {compiler}: Python.h: none"
    )


def test_the_sdist_has_what_is_compiled():
    text = (ROOT / "MANIFEST.in").read_text()
    assert re.search(r"^recursive-include src/greenroom .*\*\.pyx", text, re.M)
    assert re.search(r"^recursive-include src/greenroom .*\*\.pxd", text, re.M)
