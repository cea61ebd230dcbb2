"""The shape of the code: names, docstrings, imports, and twins that must not drift apart."""

import ast
import inspect
import re
import sys
from pathlib import Path

import pytest

import greenroom

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "greenroom"
SOURCES = sorted(path for path in PACKAGE.rglob("*.py"))


def relative(path):
    return str(path.relative_to(PACKAGE))


def setup_list():
    """COMPILED of setup.py, without running it."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "COMPILED":
            return ast.literal_eval(node.value)
    raise AssertionError("setup.py has no COMPILED")


# --- what a user sees


def test_every_name_in_all_exists_once():  # ruff sees to its order
    assert len(set(greenroom.__all__)) == len(greenroom.__all__)
    for name in greenroom.__all__:
        assert hasattr(greenroom, name), name


def test_no_other_public_name_but_the_subpackages():
    names = {name for name in vars(greenroom) if not name.startswith("_")}
    packages = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    assert names - set(greenroom.__all__) <= packages | modules


def test_every_public_name_has_a_docstring_of_its_own():
    for name in greenroom.__all__:
        text = getattr(greenroom, name).__doc__
        assert text and text.strip(), name
        assert text.strip()[0].isupper() or text.startswith(name), f"{name}: {text!r}"


# Those whose call may let other tasks run, and those that never do.
FUNCTIONS = ["as_completed", "joinall", "patch_all", "run", "sleep", "spawn", "wait"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_says_when_it_switches(name):
    assert "Switches" in getattr(greenroom, name).__doc__


WAITING_METHODS = [
    *("Task.join", "Task.result", "Lock.acquire", "RLock.acquire", "Semaphore.acquire"),
    *("Event.wait", "Result.get", "Condition.wait", "Barrier.wait", "Queue.get", "Queue.put"),
]


@pytest.mark.parametrize("name", [*WAITING_METHODS, "Queue.join"])
def test_a_method_that_may_wait_says_when_it_switches(name):
    owner, method = name.split(".")
    text = getattr(getattr(greenroom, owner), method).__doc__
    assert text is not None
    assert "Switches" in text or re.search(r"\bas \w+\.\w+", text), name


def test_the_green_calls_say_when_they_switch():
    from greenroom.green import resolver, select, socketcalls, sslcalls

    calls = [socketcalls.connect, socketcalls.recvfrom, socketcalls.recvmsg, socketcalls.sendto]
    calls += [socketcalls.recvfrom_into, socketcalls.recvmsg_into, socketcalls.sendmsg]
    calls += [resolver.getaddrinfo, resolver.gethostbyname, resolver.getnameinfo]
    calls += [sslcalls.read, sslcalls.recv, sslcalls.recv_into, sslcalls.write, sslcalls.send]
    calls += [sslcalls.sendall, sslcalls.do_handshake, sslcalls.unwrap]
    calls += [select.select, select.Poll.poll, select.epoll.poll]
    for call in calls:
        assert re.search(r"[Ss]witches", inspect.getdoc(call)), call


def test_the_version_is_that_of_the_project_file():
    text = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{greenroom.__version__}"' in text or "dynamic" in text


# --- modules


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_module_opens_with_its_docstring(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not tree.body or ast.get_docstring(tree), "a module says what it is for"


LAYERS = ["core", "sync", "green", "patch", "compat", "servers"]


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if relative(path).split("/")[0] in LAYERS], ids=relative
)
def test_a_module_names_the_layer_in_whose_folder_it_lies(path):
    text = path.read_text(encoding="utf-8")
    if not text.strip():
        return
    first = text.splitlines()[0]
    found = re.search(r"layer: (\w+)", first) or re.search(r"layer: (\w+)", text[:400])
    assert found, first
    assert found[1] == relative(path).split("/")[0]


EARLY = {"ssl", "socket", "threading", "queue"}  # must not load before they are patched
LATE = {
    "green/socket.py",  # is a socket class of its own
    "green/ssl.py",  # and a TLS socket
    "green/sslcalls.py",  # loaded when ssl was
    "patch/drivers.py",  # loaded when a driver was
    "aio/loop.py",  # loaded when asyncio was, which imports them all
}


def imported_at_top(tree):
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_module_imports_what_is_to_be_patched(path):
    # A server is imported after patching, or by who does not patch; `greenroom serve` sees to it.
    if relative(path) in LATE or relative(path).startswith(("compat/", "contrib/", "servers/")):
        return
    names = set(imported_at_top(ast.parse(path.read_text(encoding="utf-8"))))
    assert not names & EARLY


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_module_imports_with_a_star_or_from_the_package_itself(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert all(name.name != "*" for name in node.names), f"line {node.lineno}"
            assert node.level == 0, f"line {node.lineno}: a relative import"


# --- the compiled form


COMPILED = setup_list()


def test_every_pyx_is_built():
    found = {relative(path) for path in PACKAGE.rglob("*.pyx")}
    assert found <= set(COMPILED)


@pytest.mark.parametrize("name", COMPILED)
def test_a_compiled_module_exists_once_in_the_list(name):
    assert (PACKAGE / name).exists()
    assert COMPILED.count(name) == 1


@pytest.mark.parametrize("name", [name for name in COMPILED if name.endswith(".py")])
def test_a_compiled_py_has_a_pxd_that_types_names_it_really_has(name):
    path = PACKAGE / name
    pxd = path.with_suffix(".pxd")
    assert pxd.exists()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    text = pxd.read_text(encoding="utf-8")
    assert set(re.findall(r"^cdef class (\w+)", text, re.M)) <= classes
    declared = re.findall(r"^\s*cp?def (?:inline )?[\w ]*?\b(\w+)\(", text, re.M)
    assert set(declared) <= functions | classes


def public(names):
    return {name for name in names if not name.startswith("_")}


def names_of_py(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return set(ast.literal_eval(node.value))
    return public(
        node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    )


def cimportable(pxd):
    if not pxd.exists():
        return set()
    return set(re.findall(r"^cp?def (?:[\w ]+ )?(\w+)\(", pxd.read_text(encoding="utf-8"), re.M))


def names_of_pyx(path):
    """The names that others can import or cimport from a .pyx."""
    text = path.read_text(encoding="utf-8")
    found = cimportable(path.with_suffix(".pxd"))
    found |= set(re.findall(r"^def (\w+)\(", text, re.M))
    found |= set(re.findall(r"^cpdef (?:[\w ]+ )?(\w+)\(", text, re.M))
    found |= set(re.findall(r"^(?:cdef )?class (\w+)", text, re.M))
    found |= set(re.findall(r"^(\w+) = ", text, re.M))
    for line in re.findall(r"^from \S+ import (.+)$", text, re.M):
        found |= {name.split(" as ")[-1].strip() for name in line.split(",")}
    return public(found)


TWINS = [path for path in sorted(PACKAGE.rglob("*.pyx")) if path.with_suffix(".py").exists()]


def test_each_pyx_has_a_twin_for_an_install_without_a_compiler():
    assert sorted(PACKAGE.rglob("*.pyx")) == TWINS
    assert {path.stem for path in TWINS} >= {"native", "arena", "epoll", "fastsocket"}


@pytest.mark.parametrize("path", TWINS, ids=relative)
def test_the_plain_twin_has_every_name_that_others_import(path):
    plain, compiled = names_of_py(path.with_suffix(".py")), names_of_pyx(path)
    module = "greenroom." + relative(path.with_suffix("")).replace("/", ".")
    stem, package = path.stem, module.rpartition(".")[0]
    used = set()
    for other in [*SOURCES, *PACKAGE.rglob("*.pyx")]:
        if other.with_suffix("") == path.with_suffix(""):
            continue
        text = other.read_text(encoding="utf-8")
        if re.search(rf"^from {re.escape(package)} import .*\b{stem}\b", text, re.M):
            used |= set(re.findall(rf"\b{stem}\.([a-z]\w*)", text))
        for line in re.findall(rf"^from {re.escape(module)} import (.+)$", text, re.M):
            used |= {name.strip(" ()") for name in line.split(",")}
    used = public(used) - {"py", "pyx", "pxd"}
    assert used <= plain, f"used elsewhere, and missing in the plain twin: {used - plain}"
    assert used <= compiled, f"used elsewhere, and missing in the .pyx: {used - compiled}"


@pytest.mark.parametrize("path", TWINS, ids=relative)
def test_the_plain_twin_has_no_public_function_that_the_other_lacks(path):
    assert names_of_py(path.with_suffix(".py")) <= names_of_pyx(path)


def test_the_functions_of_both_socket_twins_have_the_same_docstrings():
    """The .pyx says the same as the plain functions that stand for it."""
    from greenroom.green import socketcalls, sslcalls

    names = {"recv", "recv_into", "send", "sendall"}
    twins = (("fastsocket.pyx", socketcalls, set()), ("fastssl.pyx", sslcalls, {"read", "write"}))
    for file, module, more in twins:
        text = (PACKAGE / "green" / file).read_text(encoding="utf-8")
        for name in names | more:
            first = inspect.getdoc(getattr(module, name)).splitlines()[0]
            body = text[text.index(f"\ndef {name}(") :]
            assert f'"""{first}' in body, name


# --- the tests themselves


def test_each_test_folder_of_green_things_is_a_package():
    for folder in ("green", "patch", "cli", "compat", "examples"):
        assert (ROOT / "tests" / folder / "__init__.py").exists()


def test_this_python_is_one_that_the_project_file_names():
    text = (ROOT / "pyproject.toml").read_text()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"Python :: {version}" in text


def test_a_change_of_a_class_s_layout_compiles_again_whoever_uses_it():
    """A build in a used checkout kept modules that had the old size of Task.

    Cython does not see that `from greenroom.core cimport scheduler as x` reads scheduler.pxd.
    """
    unseen = []
    for path in sorted(PACKAGE.rglob("*.p[xy][dx]")):
        text = path.read_text(encoding="utf-8")
        for package, module in re.findall(r"^from ([\w.]+) cimport (\w+) as \w+$", text, re.M):
            there = ROOT / "src" / package.replace(".", "/") / f"{module}.pxd"
            if not there.exists() or "cdef class" not in there.read_text(encoding="utf-8"):
                continue
            if f"from {package}.{module} cimport" not in text:
                unseen.append(f"{relative(path)}: {module}")
    assert unseen == []
