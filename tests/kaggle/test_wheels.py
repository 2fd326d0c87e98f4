"""Wheels that pip installs without a network, and that hold all their files."""

import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from src.common.environments import Unavailable, find_python
from src.common.errors import InputError
from src.kaggle.build import CHECKOUT
from src.kaggle.wheels import BROUGHT, installed_wheel, project_wheel


def install(python: Path | str, wheels: list[Path], target: Path) -> None:
    """Install without a network and without looking up dependencies; pip checks every hash."""
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--target", str(target), *map(str, wheels)], check=True)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> list[Path]:
    """Of the project, and of what it brings."""
    folder = tmp_path_factory.mktemp("wheels")
    return [project_wheel(CHECKOUT, folder), *(installed_wheel(name, folder) for name in BROUGHT)]


def test_the_project_installs_as_a_checkout_beside_what_is_installed_here(wheels, tmp_path):
    there = tmp_path / "there"
    install(sys.executable, wheels, there)
    paths = [*(CHECKOUT / "src").rglob("*"), *(CHECKOUT / "notebooks").glob("*.ipynb")]
    files = {p.relative_to(CHECKOUT): p for p in paths if p.suffix in (".py", ".txt", ".ipynb")}
    for name in BROUGHT:
        modules = [p for p in distribution(name).files if p.suffix == ".py" and ".." not in p.parts]
        assert modules
        files |= {p: p.locate() for p in modules}
    assert Path("src/landmarks.py") in files and Path("notebooks/01_preparation.ipynb") in files
    for name, path in files.items():
        assert (there / name).read_bytes() == Path(path).read_bytes(), name
    code = "import sys; sys.path.insert(0, '.'); import src.landmarks as l; print(l.__file__)"
    said = subprocess.check_output([sys.executable, "-P", "-c", code], cwd=there, text=True)
    assert said.strip() == str(there / "src/landmarks.py")


def test_nothing_but_source_is_packed_and_the_same_files_give_the_same_bytes(tmp_path):
    checkout = tmp_path / "checkout"
    for name in ("src/a.py", "src/__pycache__/a.pyc", "notebooks/01_a.ipynb", "notebooks/draft"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("x")
    (checkout / "pyproject.toml").write_text(
        '[project]\nname = "a-b"\nversion = "2.0"\ndescription = "c"\nrequires-python = ">=3"\n'
    )
    first = project_wheel(checkout, tmp_path / "one")
    assert first.name == "a_b-2.0-py3-none-any.whl"
    info = {f"a_b-2.0.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD")}
    with zipfile.ZipFile(first) as opened:
        names = set(opened.namelist())
    assert names == {"src/a.py", "notebooks/01_a.ipynb", "pyproject.toml"} | info
    (checkout / "src/a.py").touch()
    assert project_wheel(checkout, tmp_path / "two").read_bytes() == first.read_bytes()


def test_another_python_loads_what_is_brought(wheels, tmp_path):
    """Kaggle has Python 3.12; nothing brought may be compiled for this one."""
    try:
        python = find_python("3.12")
    except Unavailable as reason:
        pytest.skip(str(reason))
    install(python, wheels, tmp_path / "there")
    here = {"PYTHONPATH": str(tmp_path / "there")}
    # What needs no torch is imported; every file of src is compiled.
    code = "import tyro, cattrs, jaxtyping, typeguard, src.common.files"
    assert subprocess.run([python, "-c", code], env=here, cwd=tmp_path).returncode == 0
    command = [python, "-W", "error", "-m", "compileall", "-q", str(tmp_path / "there/src")]
    assert subprocess.run(command).returncode == 0


def test_compiled_and_missing_packages_are_refused(tmp_path):
    with pytest.raises(InputError, match="numpy: expected a package in pure Python"):
        installed_wheel("numpy", tmp_path)
    with pytest.raises(InputError, match="no-such-thing: expected this package"):
        installed_wheel("no-such-thing", tmp_path)
    assert not [*tmp_path.iterdir()]
